"""Other denoisers to compare with, behind one small protocol; ours is not here."""
