"""One file for each textbook network, and their table."""
