"""Sources of frames, one file per kind; opened through `open_source`."""
