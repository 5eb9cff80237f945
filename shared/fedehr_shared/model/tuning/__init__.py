"""Which parameters fine-tuning trains, when, and which of them travel."""
