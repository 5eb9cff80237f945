"""A hospital's node: its folder, its key, and the SuperNode process."""
