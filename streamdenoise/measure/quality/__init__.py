"""PSNR and its kin: white noise, real noise, behavior over time."""
