"""Scores of the most common searches, tile by tile: bounded metrics in two dimensions, all pixels valid."""
