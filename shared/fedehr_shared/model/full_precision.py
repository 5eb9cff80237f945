"""`full_precision`: float32 within a forward pass that computes in less."""

from contextlib import AbstractContextManager, nullcontext

import torch


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """A context in which products keep all of float32's bits, whatever autocast is on.

    What goes in must be float32 already: autocast's own results are not.
    """
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()
