"""What travels between coordinator and site: typed payloads, and exact sums of updates."""
