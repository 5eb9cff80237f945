"""`find_budget`: the most tokens that fit, by trying."""

from collections.abc import Callable, Sequence

import torch
from torch import nn

from fedehr_client.compute.compute import Compute
from fedehr_client.compute.free_memory import free_bytes
from fedehr_client.compute.out_of_memory import is_out_of_memory, release_memory
from fedehr_client.compute.precision import autocast

RESERVE = 0.10
"""Of the free memory, left for fragments and for batches with more hidden positions."""
_FINEST = 8
"""The budget is found to an eighth of itself."""


def find_budget(fits: Callable[[int], bool], least: int, most: int) -> int | None:
    """The largest budget that fits, to an eighth: doubling, then bisection.

    Args:
        fits: whether so many tokens fit; what is larger than a misfit is one too.
        least: the smallest budget of use.
        most: the largest.

    Returns:
        None where not even `least` fits.
    """
    if not fits(least):
        return None
    low, high = least, most + 1
    while low < most and high > most:
        tried = min(most, 2 * low)
        if fits(tried):
            low = tried
        else:
            high = tried
    while high - low > max(1, low // _FINEST) and high <= most:
        tried = (low + high) // 2
        if fits(tried):
            low = tried
        else:
            high = tried
    return low


class MemoryTrial:
    """Forward and backward passes of a model beside all that a step holds."""

    def __init__(
        self,
        model: nn.Module,
        compute: Compute,
        losses_of: Callable[[int], Sequence[Callable[[], torch.Tensor]]],
        num_copies: int,
    ) -> None:
        """Nothing is computed yet.

        Args:
            model: on its device, prepared, its frozen parameters marked.
            compute: for device and precision.
            losses_of: for a number of tokens, the losses of the worst pieces of that size.
            num_copies: of the trained parameters, that a step holds beside the gradients.
        """
        self._model = model
        self._compute = compute
        self._losses_of = losses_of
        self._num_copies = num_copies

    def fits(self, num_tokens: int) -> bool:
        """Whether so many tokens fit, with the reserve left over. The model is left as it was."""
        device = self._compute.device
        release_memory(device)
        limit = (1 - RESERVE) * free_bytes(device)
        held = _reserved(device)
        try:
            self._run(num_tokens)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return False
        finally:
            self._model.zero_grad(set_to_none=True)
        return _peak(device) - held <= limit

    def _run(self, num_tokens: int) -> None:
        trained = [p for p in self._model.parameters() if p.requires_grad]
        copies = [torch.zeros_like(p) for p in trained for _ in range(self._num_copies)]
        for loss_of in self._losses_of(num_tokens):
            with autocast(self._compute.device, self._compute.precision):
                loss = loss_of()
            loss.backward()  # type: ignore[no-untyped-call]
        if self._compute.device.type == "cuda":
            torch.cuda.synchronize(self._compute.device)
        del copies


def _reserved(device: torch.device) -> int:
    """What torch holds now, and the mark that the next peak is measured from."""
    if device.type != "cuda":
        return 0
    torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.memory_allocated(device)


def _peak(device: torch.device) -> int:
    return torch.cuda.max_memory_reserved(device) if device.type == "cuda" else 0
