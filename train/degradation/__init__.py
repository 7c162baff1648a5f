"""Makes clean clips noisy: noise, compression, planes."""
