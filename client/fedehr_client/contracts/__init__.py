"""The studies that a site knows, and what its people decided about each."""
