"""Arrays and options: types, checks, shapes and borders. NumPy only, no policy."""
