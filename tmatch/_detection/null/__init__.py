"""The null distribution of a score map, and what does not belong to it: copies and their footprints."""
