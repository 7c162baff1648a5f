"""Files of pictures: what they hold, read and written without losing it."""
