"""TODO train/run."""
