"""Layers that differ while the network learns: branches, rounding."""
