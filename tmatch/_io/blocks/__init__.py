"""Arrays that are stored block by block: each block is read when it is needed, and kept as long as it is."""
