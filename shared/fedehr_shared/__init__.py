"""What both ends of a federation must agree on.

Study configuration, MEDS folders, vocabulary, tokens, the model, training steps,
metrics and the payloads on the wire. This room never imports flwr, grpc, typer or opacus.
"""

__version__ = "0.1.0"

__all__ = ["__version__"]
