"""Engines, tiling, threads and progress."""
