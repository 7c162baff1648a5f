"""The command line: options become a config, one library call does the work."""
