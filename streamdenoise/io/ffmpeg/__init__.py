"""TODO streamdenoise/io/ffmpeg."""
