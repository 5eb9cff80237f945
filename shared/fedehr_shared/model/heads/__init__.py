"""Between the encoder and a task's loss: pooling, heads, losses and their weights."""
