"""What the coordinator does with the answers of each phase."""
