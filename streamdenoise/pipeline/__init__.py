"""TODO streamdenoise/pipeline."""
