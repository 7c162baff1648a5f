"""TODO streamdenoise/inference."""
