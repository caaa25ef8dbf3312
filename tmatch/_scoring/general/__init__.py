"""Scores of any search: each metric, with masks and missing pixels, in any dimension."""
