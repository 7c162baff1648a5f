"""TODO streamdenoise/network."""
