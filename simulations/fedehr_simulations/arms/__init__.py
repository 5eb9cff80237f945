"""The arms of a comparison: one study trained in several ways, one file an arm.

Each training or scoring is a `Piece` that a process of its own carries out (`workers.py`);
the two federated arms run on Flower's simulation engine first.
"""
