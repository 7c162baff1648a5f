"""TODO streamdenoise/cli."""
