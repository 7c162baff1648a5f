"""Output on the terminal: logs, progress and tables. Commands are in `cli`."""
