"""Values that leave the library: boxes, matches, decisions, and their text formats."""
