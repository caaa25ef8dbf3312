"""The compiled engine. Needs numba."""
