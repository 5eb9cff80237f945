"""One process a study that holds torch, records and model; it has no network."""
