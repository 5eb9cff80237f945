"""From finished runs to a verdict: predictions on one set of held-out examples, and scores."""
