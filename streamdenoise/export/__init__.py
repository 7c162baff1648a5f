"""TODO streamdenoise/export."""
