"""Textbook denoising networks on images."""
