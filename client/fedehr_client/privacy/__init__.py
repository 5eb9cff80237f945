"""Noise in training: each subject's gradient clipped, the sum of them made uncertain."""
