"""Holding the mechanism itself to its epsilon: its real steps, on two neighboring data sets."""
