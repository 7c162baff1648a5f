"""TODO streamdenoise/measure."""
