"""TODO streamdenoise/console."""
