"""`fedehr-client train`: pre-training at one site alone, to see that it learns; nothing is sent."""
