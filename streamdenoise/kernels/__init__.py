"""Loops over arrays, compiled for this CPU where NumPy and OpenCV are too slow."""
