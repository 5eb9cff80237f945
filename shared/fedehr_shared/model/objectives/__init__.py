"""What pre-training asks of the encoder: one class an objective."""
