"""What noise costs: ways to fine-tune, by epsilon, against the same without noise."""
