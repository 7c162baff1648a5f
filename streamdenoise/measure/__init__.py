"""Measures quality and speed, beside other denoisers; it is no part of denoising."""
