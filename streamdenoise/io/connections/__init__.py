"""Connections that FFmpeg does not make: TLS, whose certificates are checked here, and
HTTP, whose answers are bounded. FFmpeg itself is never allowed to use TLS."""
