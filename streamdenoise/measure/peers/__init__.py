"""Other denoisers behind one small protocol, to compare with."""
