"""The NumPy and SciPy engine: the reference, always available."""
