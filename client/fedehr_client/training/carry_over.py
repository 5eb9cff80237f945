"""`CarryOver`: what goes over from one round to the next, with the weights or at the site."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from fedehr_client.privacy.clipping_norm import ClippingNorm
from fedehr_client.training.learning_history import LearningHistory
from fedehr_client.training.local_state import LocalState, Tensors
from fedehr_client.training.optimizer import load_moments, moments_of, set_state
from fedehr_client.training.private_bias import PrivateBias
from fedehr_shared.config.optimization import OptimizationConfig
from fedehr_shared.wire.payload import Arrays

PRIVATE_VALUES = "private.values"
"""The name of the private bias in what a site keeps."""
CLIPPING_NORM = "private.clipping_norm"
"""The name of an adaptive clipping norm there."""
_STEP, _FIRST, _SECOND = ".step", ".first", ".second"


@dataclass(frozen=True)
class CarryOver:
    """Moments by the study's `optimizer_state`, and a private bias, around one round.

    A private bias and an adaptive clipping norm are kept at the site in every case; the bias's
    moments are, unless the study asks for fresh ones.

    Attributes:
        config: the phase's settings.
        round_number: from 1 within the phase.
        history: of the parameters, for averaged moments.
        averaged: moments that came with the weights, or None.
        local: where the site keeps its state; None: nowhere (a trial run).
        clipping: of a private round.
    """

    config: OptimizationConfig
    round_number: int
    history: LearningHistory
    averaged: Arrays | None
    local: LocalState | None
    clipping: ClippingNorm | None = None

    def begin(
        self, optimizer: torch.optim.AdamW, model: nn.Module, bias: PrivateBias | None
    ) -> None:
        """Put into the optimizer and the bias what an earlier round left.

        Raises:
            WireError: the moments that came do not fit the model.
        """
        if self.config.optimizer_state == "averaged" and self.averaged:
            load_moments(optimizer, model, self.averaged, self._age_of_averaged)
        keeps = self.local is not None and self._keeps(model, bias)
        kept = self.local.before(self.round_number) if keeps and self.local else None
        if kept is None:
            return
        if bias is not None and PRIVATE_VALUES in kept:
            with torch.no_grad():
                bias.values.copy_(kept[PRIVATE_VALUES])
        if self.clipping is not None and CLIPPING_NORM in kept:
            self.clipping.value = float(kept[CLIPPING_NORM])
        for name, parameter in self._kept_parameters(model, bias):
            if name + _STEP in kept:
                set_state(
                    optimizer,
                    parameter,
                    float(kept[name + _STEP]),
                    kept[name + _FIRST],
                    kept[name + _SECOND],
                )

    def end(
        self, optimizer: torch.optim.AdamW, model: nn.Module, bias: PrivateBias | None
    ) -> Arrays | None:
        """Keep at the site what stays there; return the moments that travel, if any do.

        Called once the round has succeeded: a failed one leaves the site as it was.

        Raises:
            DataError: the state cannot be written.
        """
        if self.local is not None and self._keeps(model, bias):
            self.local.keep(self.round_number, self._tensors(optimizer, model, bias))
        if self.config.optimizer_state != "averaged":
            return None
        travelling = (
            (name, parameter)
            for name, parameter in model.named_parameters()
            if parameter.requires_grad and not self.history.stays(name)
        )
        return moments_of(optimizer, travelling)

    def _age_of_averaged(self, name: str) -> int:
        return 0 if self.history.stays(name) else self.history.num_steps(name)

    def _keeps(self, model: nn.Module, bias: PrivateBias | None) -> bool:
        is_any = bias is not None or self._adapts
        return is_any or any(True for _ in self._kept_parameters(model, bias))

    @property
    def _adapts(self) -> bool:
        return self.clipping is not None and self.clipping.adapts

    def _kept_parameters(
        self, model: nn.Module, bias: PrivateBias | None
    ) -> Iterator[tuple[str, nn.Parameter]]:
        """Those whose moments stay at the site: also where they do not learn in this round."""
        if self.config.optimizer_state == "kept":
            yield from model.named_parameters()
        elif self.config.optimizer_state == "averaged":
            yield from (p for p in model.named_parameters() if self.history.stays(p[0]))
        if bias is not None and self.config.optimizer_state != "fresh":
            yield PRIVATE_VALUES, bias.values

    def _tensors(
        self, optimizer: torch.optim.AdamW, model: nn.Module, bias: PrivateBias | None
    ) -> Tensors:
        tensors: Tensors = {}
        for name, parameter in self._kept_parameters(model, bias):
            state = optimizer.state.get(parameter)
            if state:
                tensors[name + _STEP] = state["step"]
                tensors[name + _FIRST] = state["exp_avg"]
                tensors[name + _SECOND] = state["exp_avg_sq"]
        if bias is not None:
            tensors[PRIVATE_VALUES] = bias.values
        if self.clipping is not None and self.clipping.adapts:
            tensors[CLIPPING_NORM] = torch.tensor(self.clipping.value, dtype=torch.float64)
        return tensors
