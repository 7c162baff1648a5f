"""Recordings in segments.

Their names, their cuts, and what is kept. Encoding is not here.
"""
