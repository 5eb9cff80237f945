"""What keeps a node alive: its processes, its hours, what it tells of its health."""
