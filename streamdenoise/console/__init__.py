"""What the terminal shows: logs, progress, tables. Commands are in `cli`."""
