"""Templates that are rotated, of another size, or mirrored."""
