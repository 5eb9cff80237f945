"""What runs at the coordinator: phases and rounds, aggregation, checkpoints."""
