"""TODO streamdenoise/measure/peers."""
