"""Clean training clips: cache, sampling, synthetic motion, batches."""
