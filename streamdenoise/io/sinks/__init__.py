"""Sinks: each writes frames to one kind of output. Reached through `open_sink`."""
