"""Many fine-tunings of one pre-trained model: what each way to tune costs and what it buys."""
