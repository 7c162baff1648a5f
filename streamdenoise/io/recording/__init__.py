"""TODO streamdenoise/io/recording."""
