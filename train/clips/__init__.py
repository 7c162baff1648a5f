"""TODO train/clips."""
