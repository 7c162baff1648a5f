"""Arrays in, arrays out: color, noise, motion, metrics. No torch and no files."""
