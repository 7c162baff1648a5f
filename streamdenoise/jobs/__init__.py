"""TODO streamdenoise/jobs."""
