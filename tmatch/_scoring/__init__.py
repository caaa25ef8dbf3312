"""Score maps: how well a template fits at every place of an image."""
