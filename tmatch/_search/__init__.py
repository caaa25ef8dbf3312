"""Search an image for templates."""
