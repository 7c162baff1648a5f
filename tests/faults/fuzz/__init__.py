"""Random inputs to everything that reads what it cannot trust."""
