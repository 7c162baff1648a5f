"""Measures quality, on added and on real noise; speed is measured elsewhere."""
