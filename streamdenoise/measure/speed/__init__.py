"""Measures the speed of steps and whole jobs; quality is measured elsewhere."""
