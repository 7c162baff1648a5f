"""Recording in segments: their names, where they begin, and which ones are kept.

Encoding is in `io.ffmpeg`.
"""
