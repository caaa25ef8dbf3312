"""Files: the only modules that open them."""
