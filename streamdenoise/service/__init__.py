"""What watches a running stream: HTTP status, Prometheus metrics, systemd."""
