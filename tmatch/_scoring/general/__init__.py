"""Scores of any search: all metrics, with masks and missing pixels, in any dimension."""
