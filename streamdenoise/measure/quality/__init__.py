"""TODO streamdenoise/measure/quality."""
