"""One file for each runtime; reached through the table in `registry`."""
