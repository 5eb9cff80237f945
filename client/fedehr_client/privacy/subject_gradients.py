"""`SubjectGradients`: the clipped sum of subjects' gradients, and what their norms were."""

import logging
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from fedehr_client.privacy.opacus import OPACUS_PARAM_MONKEYPATCH_ATTRS, AbstractGradSampleHooks
from fedehr_shared.errors import TrainingError

log = logging.getLogger("fedehr.client")

MARGIN = 2.0**-10
"""How far below the clipping norm gradients are cut: for what float32 rounds in a sum."""
_HOOKED_ATTRIBUTES = ("activations", "max_batch_len")


class SubjectGradients(ABC):
    """Adds up gradients, each scaled down to a norm; Opacus listens to the model's layers.

    Attributes:
        sums: of the pieces since `begin`, one tensor a parameter, in float32.
    """

    def __init__(self, model: nn.Module, hooks: AbstractGradSampleHooks) -> None:
        """`hooks` sit on the model, whose trained parameters must not change while they do."""
        self.hooks = hooks
        self.named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        self.parameters = [parameter for _, parameter in self.named]
        self.sums: list[torch.Tensor] = []
        self._layers = list(model.modules())
        self._is_bypass_told = False

    def begin(self) -> None:
        """Start a sum at zero."""
        self.sums = [torch.zeros_like(p, dtype=torch.float32) for p in self.parameters]

    def forget(self) -> None:
        """Drop what earlier passes left on the model, broken off or not: a norm of another batch
        would be taken for this one's."""
        for parameter in self.parameters:
            for name in OPACUS_PARAM_MONKEYPATCH_ATTRS:
                if hasattr(parameter, name):
                    delattr(parameter, name)
            parameter.grad_sample = None  # type: ignore[attr-defined]
            parameter._forward_counter = 0  # type: ignore[attr-defined]
        for layer in self._layers:
            for name in _HOOKED_ATTRIBUTES:
                if name in layer.__dict__:
                    delattr(layer, name)

    @abstractmethod
    def add(self, losses: torch.Tensor, clip: float) -> torch.Tensor | None:
        """Add the clipped gradients of a piece's subjects to `sums`.

        Args:
            losses: `[subjects]`, from a forward pass since `forget`.
            clip: the norm that each is scaled down to.

        Returns:
            `[subjects]`, their norms before it; one that is no number adds nothing. None: nothing
            was added, as some are no numbers, or not the whole, and would spoil the others.

        Raises:
            TrainingError: the gradient of a trained parameter was not seen for each subject.
        """

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Whatever happens within, nothing of Opacus stays on the model after it."""
        try:
            with warnings.catch_warnings():
                # A layer that reads tokens or ages has no gradient of its input to wait for.
                warnings.filterwarnings("ignore", "Full backward hook is firing", UserWarning)
                yield
        finally:
            self.forget()
            self.hooks.cleanup()

    def seen(self, name: str, found: object, num_subjects: int) -> torch.Tensor:
        """`found`, if it is there and holds one entry a subject.

        Raises:
            TrainingError: it is not, so that clipping would miss a part of the gradient.
        """
        if isinstance(found, torch.Tensor) and found.shape[:1] == (num_subjects,):
            return found
        shape = tuple(found.shape) if isinstance(found, torch.Tensor) else None
        raise TrainingError(
            f"the gradient of {name} could not be told apart by subject ({shape} for "
            f"{num_subjects} subjects), so it cannot be clipped. Nothing was sent. Freeze the "
            "parameter, or leave the phase out of [privacy] phases."
        )

    def tell_of_bypass(self) -> None:
        """Write down, once, that what layers were heard of is not all of the gradient: a weight
        is used elsewhere too, or rounding is all that is left of it.

        At the site alone: records can bring about the latter, and a round that failed for it
        would tell of them, without noise.
        """
        if not self._is_bypass_told:
            log.error(
                "a part of a gradient bypassed the layers that are listened to: it is left out. If "
                "the loss does not fall, leave the phase out of [privacy] phases."
            )
        self._is_bypass_told = True


def clip_factors(norms: torch.Tensor, clip: float) -> torch.Tensor:
    """What each gradient is multiplied by; 0 where its norm is no number. `[subjects]`."""
    factors = (clip * (1 - MARGIN) / norms).clamp(max=1.0)
    return torch.where(norms.isfinite(), factors.nan_to_num(1.0), 0.0)


def norms_over(norms: Sequence[torch.Tensor]) -> torch.Tensor:
    """Of all parameters together, from `[subjects]` for each. `[subjects]` float32."""
    squares = torch.stack([norm.float().square() for norm in norms])
    return squares.sum(dim=0).sqrt()
