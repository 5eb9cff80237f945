"""A hospital's node: its folder, its key, and the way to its coordinator."""
