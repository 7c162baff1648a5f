"""Arrays in, arrays out: color, noise, motion, metrics. No PyTorch and no files."""
