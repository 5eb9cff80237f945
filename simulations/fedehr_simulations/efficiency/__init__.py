"""Label-efficiency curves: what pre-training is worth with few labels and with all of them."""
