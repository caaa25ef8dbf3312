"""How work is done: engines, tiles, threads, progress."""
