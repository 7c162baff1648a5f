"""Sources, one file for each kind of input; `open_source` chooses among them."""
