"""TODO streamdenoise/io/sinks."""
