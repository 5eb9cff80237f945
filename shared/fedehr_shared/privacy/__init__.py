"""What privacy costs: one history of noisy steps, and the epsilon that it comes to."""
