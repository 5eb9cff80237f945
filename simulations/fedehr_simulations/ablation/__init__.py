"""Pre-training varied one setting at a time: what each costs and what it buys."""
