"""TODO train/degradation."""
