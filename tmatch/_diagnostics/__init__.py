"""Studies of a search: why, how well, under which distortions."""
