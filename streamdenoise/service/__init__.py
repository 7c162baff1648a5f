"""Monitoring of a running stream: HTTP status, Prometheus metrics and systemd.

What a person at the terminal sees is in `console`.
"""
