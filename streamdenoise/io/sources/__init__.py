"""TODO streamdenoise/io/sources."""
