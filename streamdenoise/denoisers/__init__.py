"""TODO streamdenoise/denoisers."""
