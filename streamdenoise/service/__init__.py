"""TODO streamdenoise/service."""
