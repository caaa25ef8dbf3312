"""Linear filters: correlation and convolution."""
