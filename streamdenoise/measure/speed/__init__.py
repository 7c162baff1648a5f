"""TODO streamdenoise/measure/speed."""
