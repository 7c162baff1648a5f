"""Measurements of quality and speed, beside other denoisers."""
