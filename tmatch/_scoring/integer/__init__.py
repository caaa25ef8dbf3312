"""Scores of the commonest searches: zncc of 8 and 16-bit images, all pixels valid, masks of 0 and 1."""
