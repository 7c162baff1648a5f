"""One module for each runtime, loaded through the table in `registry`."""
