"""What makes clean clips noisy: noise, compression, planes."""
