"""Outcomes: what a task asks, the labels it gives, and whether they can be read in the input."""
