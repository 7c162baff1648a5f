"""Publishing to servers from a child process. Reconnecting is in `io.sinks`."""
