"""TODO train/layers."""
