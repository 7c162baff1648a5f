"""TODO streamdenoise/io/publishing."""
