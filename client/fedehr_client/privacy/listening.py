"""`listening`: Opacus on a model for as long as a round lasts."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from fedehr_client.privacy.ghost_gradients import GhostGradients
from fedehr_client.privacy.hooked_gradients import HookedGradients
from fedehr_client.privacy.subject_gradients import SubjectGradients

_FEW = 0.1
"""The share of a model's numbers below which a batch of their gradients fits beside it."""


def holds_each(model: nn.Module) -> bool:
    """Whether the gradient of each of a piece's subjects is in memory at once."""
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return trained <= _FEW * sum(p.numel() for p in model.parameters())


@contextmanager
def listening(model: nn.Module) -> Iterator[SubjectGradients]:
    """The way to clip that suits what is trained; nothing of it stays on the model afterwards.

    Args:
        model: on its device, its frozen parameters marked: they must not change within.
    """
    gradients = HookedGradients(model) if holds_each(model) else GhostGradients(model)
    with gradients.listening():
        yield gradients
