"""`fit_round`: how much of a step is in memory at once, settled before a round starts."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn

from fedehr_client.compute.budget_record import BudgetRecord, Fit
from fedehr_client.compute.budget_trial import RESERVE, MemoryTrial, find_budget
from fedehr_client.compute.compute import CHECKPOINTING, TOKEN_BUDGET
from fedehr_client.compute.device import device_name
from fedehr_client.compute.free_memory import free_bytes
from fedehr_client.compute.memory import MemoryEstimate, estimate_memory
from fedehr_client.compute.prepare import prepare_model
from fedehr_client.compute.token_budget import TokenBudget
from fedehr_client.training.round import RoundContext
from fedehr_client.training.worst_pieces import worst_pieces
from fedehr_shared.errors import TrainingError
from fedehr_shared.tokens.budget import check_budget

log = logging.getLogger("fedehr.client")

CPU_TOKEN_BUDGET = 2_048
"""What a core's caches like: whole batches of 16,384 tokens took up to 1.5 times as long."""
MOST_TOKENS = 524_288
"""More at once is no quicker on any GPU."""
_MOST_LOGITS = 2**31 - 1
"""Kernels count their elements in 32 bits."""
_ADAMW_MOMENTS = 2

LossOf = Callable[[Any], torch.Tensor]


def fit_round(
    context: RoundContext, phase: str, model: nn.Module, loss_of: LossOf
) -> tuple[RoundContext, TokenBudget]:
    """Settle what the site file leaves to the model's size, and tell the site's log.

    On CUDA the largest budget is found by trial; on a CPU a small one is the quickest, and the
    estimate lowers it where memory is short. What was found is remembered for later rounds.

    Args:
        context: the round.
        phase: `pretraining` or `finetuning`.
        model: on the round's device, its frozen parameters marked.
        loss_of: the loss of a piece on that device.

    Raises:
        ConfigError: the site file's budget is below the study's context.
        TrainingError: not even one sequence of the study's context fits.
    """
    compute, study = context.compute, context.study
    check_budget(compute.token_budget, study.sequence.context)
    record = BudgetRecord(context.work, _about(context, phase))
    fit = record.read()
    if fit is None:
        fit = _fit(context, phase, model, loss_of)
        if compute.to_fit:
            record.write(fit)
    compute = replace(
        compute,
        token_budget=fit.token_budget,
        checkpointing=fit.checkpointing,
        to_fit=frozenset[str](),
    )
    if context.round_number == 1:
        estimate = estimate_memory(study, phase, context.num_tokens, compute)
        log.info("%s computes on %s", phase, compute.describe())
        log.info("%s", estimate.describe(fit.token_budget or study.sequence.context))
    settled = fit.checkpointing

    def remember(num_tokens: int) -> None:
        record.write(Fit(num_tokens, settled))

    return replace(context, compute=compute), TokenBudget(fit.token_budget, remember)


def _about(context: RoundContext, phase: str) -> dict[str, object]:
    """All that what fits depends on."""
    study, compute = context.study, context.compute
    device = compute.device
    on_cuda = device.type == "cuda"
    total = torch.cuda.get_device_properties(device).total_memory if on_cuda else 0
    return {
        "phase": phase,
        "model": study.model.model_dump(),
        "objective": study.objective.model_dump() if phase == "pretraining" else None,
        "masking": study.masking.model_dump() if phase == "pretraining" else None,
        "outputs": sum(task.num_outputs for task in study.task_configs),
        "tuning": study.finetuning.tuning if phase == "finetuning" else None,
        "lora": study.lora.model_dump() if phase == "finetuning" else None,
        "context": study.sequence.context,
        "vocabulary": context.num_tokens,
        "compute": (
            compute.precision, compute.attention, compute.compile, compute.deterministic,
            compute.checkpointing, compute.token_budget, sorted(compute.to_fit),
        ),
        "device": (device_name(device) if on_cuda else device.type, total),
        "torch": torch.__version__,
    }  # fmt: skip


def _fit(context: RoundContext, phase: str, model: nn.Module, loss_of: LossOf) -> Fit:
    compute = context.compute
    if TOKEN_BUDGET in compute.to_fit and compute.device.type == "cuda":
        return _fit_by_trial(context, phase, model, loss_of)
    estimates = partial(estimate_memory, context.study, phase, context.num_tokens)
    checkpointing, estimate = compute.checkpointing, estimates(compute)
    length, room = context.study.sequence.context, int((1 - RESERVE) * free_bytes(compute.device))
    if CHECKPOINTING in compute.to_fit and estimate.tokens_within(room) < _uncut(context, phase):
        checkpointing = True
        estimate = estimates(replace(compute, checkpointing=True))
    if TOKEN_BUDGET not in compute.to_fit:
        return Fit(compute.token_budget, checkpointing)
    return Fit(_cpu_budget(estimate, length, room), checkpointing)


def _cpu_budget(estimate: MemoryEstimate, length: int, room: int) -> int:
    """The usual budget, or less, but never below one sequence: whether that really does not
    fit is for the first step to tell."""
    return max(length, min(CPU_TOKEN_BUDGET, estimate.tokens_within(room)))


def _fit_by_trial(context: RoundContext, phase: str, model: nn.Module, loss_of: LossOf) -> Fit:
    """The largest budget that fits, with checkpointing where what cannot be cut does not fit
    without.

    Raises:
        TrainingError: one sequence does not fit.
    """
    compute, study = context.compute, context.study
    may_switch = CHECKPOINTING in compute.to_fit
    tries = (False, True) if may_switch else (compute.checkpointing,)
    for checkpointing in tries:
        tried = replace(compute, checkpointing=checkpointing)
        prepare_model(model, tried)
        model.train()
        trial = MemoryTrial(model, tried, _losses(context, phase, loss_of), _num_copies(context))
        least = study.sequence.context
        most = max(least, _most_tokens(context))
        found = find_budget(trial.fits, least, most)
        suffices = found is not None and found >= min(most, _uncut(context, phase))
        if found is not None and (suffices or checkpointing == tries[-1]):
            return Fit(found, checkpointing)
    estimate = estimate_memory(study, phase, context.num_tokens, compute)
    raise TrainingError(
        f"one sequence of {study.sequence.context:,} tokens does not fit into the "
        f"{free_bytes(compute.device) / 1e9:.1f} GB that are free on {device_name(compute.device)} "
        f"({estimate.describe(study.sequence.context)}). Lower [sequence] context or the model's "
        "size in the study"
        + ("." if may_switch else ", or set [compute] checkpointing = 'auto' in the site file.")
    )


def _uncut(context: RoundContext, phase: str) -> int:
    """Tokens of the largest piece that no budget cuts: a sequence, or a group's views."""
    study = context.study
    objective = study.objective
    if phase != "pretraining" or objective.num_views == 1:
        return study.sequence.context
    most = study.pretraining.batch_subjects or objective.contrastive_group
    num_subjects = min(most, objective.contrastive_group)
    return objective.num_views * num_subjects * study.sequence.context


def _losses(
    context: RoundContext, phase: str, loss_of: LossOf
) -> Callable[[int], Sequence[Callable[[], torch.Tensor]]]:
    def losses_of(num_tokens: int) -> Sequence[Callable[[], torch.Tensor]]:
        pieces = worst_pieces(context.study, phase, context.num_tokens, num_tokens)
        return [partial(_loss, loss_of, piece, context.device) for piece in pieces]

    return losses_of


def _loss(loss_of: LossOf, piece: Any, device: torch.device) -> torch.Tensor:
    return loss_of(piece.to(device))


def _num_copies(context: RoundContext) -> int:
    """Of the parameters: AdamW's moments, and what FedProx holds them to."""
    study = context.study
    is_held = study.pretraining.proximal_weight or study.finetuning.proximal_weight
    return _ADAMW_MOMENTS + bool(is_held)


def _most_tokens(context: RoundContext) -> int:
    study = context.study
    is_mostly_hidden = study.objective.kind == "masked_autoencoder"
    share = study.objective.hidden_share if is_mostly_hidden else study.masking.rate
    return int(min(MOST_TOKENS, (1 - RESERVE) * _MOST_LOGITS / (context.num_tokens * share)))
