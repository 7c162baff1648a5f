"""The textbook denoisers: single pictures, one small file a network."""
