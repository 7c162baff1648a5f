"""Training: data, noise, the unrolled loop. Uses the package, never the reverse."""
