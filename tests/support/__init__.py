"""Factories that tests of several packages share. Fixtures are in `conftest.py`."""
