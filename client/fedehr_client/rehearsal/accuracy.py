"""Share of hidden events that a pre-training model names rightly."""

import torch
from torch.nn import functional

from fedehr_client.compute.compute import Compute
from fedehr_client.compute.precision import autocast
from fedehr_shared.model.objectives.masked_autoencoder import MaskedAutoencoder
from fedehr_shared.model.pretraining_model import PretrainingBatch, PretrainingModel
from fedehr_shared.tokens.masking import MaskedBatch
from fedehr_shared.tokens.views import ViewPairs
from fedehr_shared.tokens.visible import VisibleBatch


def masked_of(batch: PretrainingBatch) -> MaskedBatch:
    """The whole stream with its hidden positions, however the objective shows it."""
    shown = batch.views if isinstance(batch, ViewPairs) else batch
    return shown.masked if isinstance(shown, VisibleBatch) else shown


@torch.no_grad()
def naming_accuracy(
    model: PretrainingModel, batch: PretrainingBatch, compute: Compute
) -> float | None:
    """Share of the hidden events whose likeliest name is their own.

    None where the objective names none, or nothing is hidden.
    """
    if model.naming is None or masked_of(batch).targets.numel() == 0:
        return None
    pieces = [piece.to(compute.device) for piece in batch.split(compute.token_budget)]
    with autocast(compute.device, compute.precision):
        is_right = [_names(model, piece) == masked_of(piece).targets for piece in pieces]
    num_right = sum(int(right.sum()) for right in is_right)
    return num_right / masked_of(batch).targets.numel()


def _names(model: PretrainingModel, piece: PretrainingBatch) -> torch.Tensor:
    """The likeliest token at each hidden position. `[masked]`."""
    shown = piece.views if isinstance(piece, ViewPairs) else piece
    features = model.encoder(shown.batch)
    if isinstance(model.naming, MaskedAutoencoder):
        features = model.naming.decoder(features, shown)
    else:
        features = features[masked_of(piece).positions]
    output = model.event_output
    return functional.linear(features, output.weight, output.bias).argmax(dim=-1)
