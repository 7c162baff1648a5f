"""Training: data, noise, the unrolled loop. It uses the package, never the reverse."""
