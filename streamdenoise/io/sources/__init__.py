"""Sources.

Each opens one kind of input and yields its frames. Reached through `open_source`.
"""
