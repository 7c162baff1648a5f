"""Guards at the boundaries of trust, which docs/security.md describes.

One module each: Python's import path, owners of files, text and small files from
outside, credentials, and the memory that may be taken.
"""
