"""A round of training at one site, and predictions with a finished model."""
