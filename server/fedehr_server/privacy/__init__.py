"""Privacy at the coordinator: central noise, and the account of what a run has cost."""
