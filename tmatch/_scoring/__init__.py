"""Score maps: how well a template fits at every position of an image."""
