"""The file that describes the server and its cameras."""
