"""TODO train/classic/networks."""
