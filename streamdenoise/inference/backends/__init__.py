"""TODO streamdenoise/inference/backends."""
