"""Decoding, encoding and containers through FFmpeg's libraries; no policy."""
