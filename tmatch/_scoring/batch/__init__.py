"""Scores of the most common searches, tile by tile for several templates: zncc in two dimensions, all pixels valid."""
