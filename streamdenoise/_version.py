"""The version, for the package, its metadata and everything that reports it."""

__version__ = "0.1.0"
