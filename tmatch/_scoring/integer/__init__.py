"""Scores of the most common searches: zncc of 8- and 16-bit images, all pixels valid, binary masks."""
