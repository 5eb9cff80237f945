"""`fit_private_round`: how much of a private step is in memory at once."""

import logging
from dataclasses import dataclass, replace

from torch import nn

from fedehr_client.compute.budget_trial import RESERVE
from fedehr_client.compute.compute import TOKEN_BUDGET, Compute
from fedehr_client.compute.free_memory import free_bytes
from fedehr_client.compute.memory import estimate_memory
from fedehr_client.compute.token_budget import TokenBudget
from fedehr_client.privacy.listening import holds_each
from fedehr_client.privacy.precision import private_compute
from fedehr_client.training.round import RoundContext
from fedehr_shared.config.privacy import PrivatePhase
from fedehr_shared.tokens.budget import check_budget

log = logging.getLogger("fedehr.client")

CPU_TOKEN_BUDGET = 1_024
"""Sorted rows in small pieces have little padding: 64 of 50 tokens on average took 0.43 s a step,
with pieces of 2,048 tokens 0.48, of 4,096 0.53, and of 256 0.57 (two layers of 128)."""
CUDA_TOKEN_BUDGET = 65_536
"""More at once was no quicker, and a step's subjects are few."""
_FLOAT = 4
_HELD_SHARE = 0.25
"""Of the free memory, for gradients of single subjects."""
_MOST_HELD_BYTES = 2**29
_COPIES = 3
"""Of a subject's gradient: as it is added up, as it is kept, and in float32."""
_EXTRA = 1.5
"""Of what a piece without per-subject gradients takes: the layers' inputs, and the gradients of
their outputs, wait for each other."""


@dataclass(frozen=True)
class PrivateFit:
    """What fits into a site's memory.

    Attributes:
        budget: tokens at once, padding included.
        most_rows: subjects at once; None: as many as the tokens allow.
    """

    budget: TokenBudget
    most_rows: int | None


def fit_private_round(
    context: RoundContext, phase: PrivatePhase, model: nn.Module
) -> tuple[RoundContext, PrivateFit]:
    """Settle what the site file leaves to the model's size, by the estimate alone.

    Nothing is remembered: a budget found too large is lowered by the step that it does not fit,
    and no bit of a private round is ever repeated.

    Args:
        context: the round.
        phase: of the study.
        model: on the round's device, its frozen parameters marked.

    Raises:
        ConfigError: the site file's budget is below the study's context.
    """
    study, compute = context.study, private_compute(context.compute, model)
    length = study.sequence.context
    check_budget(compute.token_budget, length)
    room = (1 - RESERVE) * free_bytes(compute.device)
    num_tokens = compute.token_budget
    if TOKEN_BUDGET in compute.to_fit:
        fitting = _tokens_within(int(room * (1 - _HELD_SHARE)), context, phase, compute)
        # Whether one sequence really does not fit is for the first step to tell.
        num_tokens = max(length, min(_usual(compute), fitting))
    compute = replace(compute, token_budget=num_tokens, to_fit=frozenset[str]())
    if context.round_number == 1:
        log.info("private %s computes on %s", phase, compute.describe())
    most_rows = _most_rows(model, room * _HELD_SHARE) if holds_each(model) else None
    return replace(context, compute=compute), PrivateFit(TokenBudget(num_tokens), most_rows)


def _usual(compute: Compute) -> int:
    return CPU_TOKEN_BUDGET if compute.device.type == "cpu" else CUDA_TOKEN_BUDGET


def reckoned_bytes(
    context: RoundContext, phase: PrivatePhase, model: nn.Module, fit: PrivateFit
) -> int:
    """What the steps of a private round take at the most, beyond what came with the request."""
    fixed, a_token = _fixed_and_token_bytes(context, phase, context.compute)
    num_tokens = fit.budget.num_tokens or 0
    held = (fit.most_rows or 0) * _held_bytes(model)
    return int(fixed + num_tokens * a_token + held)


def _tokens_within(room: int, context: RoundContext, phase: PrivatePhase, compute: Compute) -> int:
    fixed, a_token = _fixed_and_token_bytes(context, phase, compute)
    return max(0, int((room - fixed) / a_token))


def _fixed_and_token_bytes(
    context: RoundContext, phase: PrivatePhase, compute: Compute
) -> tuple[float, float]:
    estimate = estimate_memory(context.study, phase, context.num_tokens, compute)
    # The clipped sum lies beside the gradients, and a layer's noise is in float64.
    fixed = estimate.fixed_bytes + 3 * estimate.gradients
    # Norms without gradients compare all pairs of a row's tokens, layer after layer.
    pairs = 3 * _FLOAT * context.study.sequence.context
    return fixed, _EXTRA * estimate.token_bytes + pairs


def _most_rows(model: nn.Module, room: float) -> int:
    return max(1, int(min(_MOST_HELD_BYTES, room) / _held_bytes(model)))


def _held_bytes(model: nn.Module) -> int:
    """Of one subject's gradient."""
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return _FLOAT * _COPIES * max(1, trained)
