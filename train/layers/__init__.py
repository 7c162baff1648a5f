"""Layers that are different during training: branches, rounding."""
