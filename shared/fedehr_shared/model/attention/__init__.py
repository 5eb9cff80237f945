"""Attention over a flat stream: every sequence sees itself and nothing else."""
