"""The command line: options become a config, one library call does the work.

`streamdenoise.cli.main` is the entry point; no other package imports this one.
"""
