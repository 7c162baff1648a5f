"""TODO streamdenoise/imaging."""
