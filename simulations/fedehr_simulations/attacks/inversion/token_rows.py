"""Codes read off the rows of a table that has one row a token: no search is needed."""

import torch

from fedehr_simulations.attacks.inversion.seen_update import Gradients

TABLES = ("encoder.token_embedding.weight", "wide.terms.weight")
"""The embedding, where it is trained; the wide term, where a study has one."""


def row_sizes(gradients: Gradients) -> torch.Tensor | None:
    """How much each token's row changes; None where no such table travels.

    A row moves only if its token is there. Of a bag of words this is no attack but the update
    itself.

    Shape: `[vocabulary]`.
    """
    for name in TABLES:
        if name in gradients:
            sizes: torch.Tensor = gradients[name].double().norm(dim=1)
            return sizes
    return None
