"""Steps with and without noise on the same subjects, as sites take them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from corpus import NUM_TOKENS
from torch import nn

from fedehr_client.compute.compute import Compute
from fedehr_client.compute.token_budget import TokenBudget
from fedehr_client.privacy.clipping_norm import ClippingNorm
from fedehr_client.privacy.listening import listening
from fedehr_client.privacy.mechanism import Mechanism
from fedehr_client.privacy.private_step import PrivateStepTaker
from fedehr_client.privacy.randomness import PrivateRandomness
from fedehr_client.training.labelled_batches import LabelledBatch
from fedehr_client.training.optimizer import make_optimizer
from fedehr_client.training.step import StepTaker
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.model.finetuning_model import FinetuningModel
from fedehr_shared.model.heads.multitask import MultitaskLoss
from fedehr_shared.model.pretraining_model import PretrainingModel
from fedehr_shared.model.tuning.plan import TuningPlan
from fedehr_shared.model.weights import draw_first_weights, load_parameters
from fedehr_shared.tokens.masking import MaskedBatch
from fedehr_shared.tokens.padded_batch import PaddedBatch
from fedehr_shared.tokens.padded_labels import PaddedLabelledBatch
from fedehr_shared.tokens.padded_masking import PaddedMaskedBatch, places_of_row

MECHANISM = Mechanism(noise_multiplier=1.0, max_grad_norm=1.0, expected_subjects=16.0)


@dataclass(frozen=True)
class Work:
    """One batch in both layouts, and the model that learns from it.

    Attributes:
        model: its frozen parameters marked.
        flat: the batch as a stream.
        padded: the same subjects, a row each, sorted by length as in a private round.
        loss_of: of a piece of the stream.
        losses_of: of padded rows. `[subjects]`.
        config: the phase's.
    """

    model: nn.Module
    flat: Any
    padded: Any
    loss_of: Callable[[Any], torch.Tensor]
    losses_of: Callable[[Any], torch.Tensor]
    config: Any

    def step(self, way: str, token_budget: int | None) -> Callable[[], object]:
        """A function that takes a step: `flat`, `padded` or `private`."""
        trained = [p for p in self.model.parameters() if p.requires_grad]
        groups: list[dict[str, object]] = [{"params": trained}]
        optimizer = make_optimizer(groups, self.config, fused=True)
        compute, budget = Compute(torch.device("cpu")), TokenBudget(token_budget)
        if way == "private":
            return lambda: self._private(optimizer, compute, budget)
        num_subjects = self.padded.num_subjects
        loss_of = (
            self.loss_of
            if way == "flat"
            else lambda rows: self.losses_of(rows).sum() / num_subjects
        )
        taker = StepTaker(
            optimizer, loss_of, compute, budget,
            clipped=[trained], max_grad_norm=1.0, proximal=None,
        )  # fmt: skip
        return lambda: taker.take(0, 0, self.flat if way == "flat" else self.padded)

    def _private(
        self, optimizer: torch.optim.Optimizer, compute: Compute, budget: TokenBudget
    ) -> None:
        with listening(self.model) as gradients:
            taker: PrivateStepTaker[Any] = PrivateStepTaker(
                optimizer, self.losses_of, compute, budget, gradients=gradients,
                clipping=ClippingNorm(MECHANISM), randomness=PrivateRandomness(),
            )  # fmt: skip
            taker.take(0, 0, self.padded)


def make(name: str, masked: MaskedBatch, context: int) -> Work:
    """`pretraining`, all of it trained, or a way to tune; at base size."""
    if name == "pretraining":
        return pretraining("base", masked, context)
    return finetuning("base", masked, name)


def pretraining(size: str, masked: MaskedBatch, context: int) -> Work:
    """Masked events with an untied output, all of it trained."""
    study = _study(size, "full")
    model = PretrainingModel(study.model, study.objective, NUM_TOKENS, untied=True)
    load_parameters(model, draw_first_weights(model, "benchmark"))
    generator = np.random.default_rng(0)
    padded = PaddedMaskedBatch.of(masked, places_of_row(study.masking, context), generator)
    return Work(model.train(), masked, padded, model, model.losses, study.pretraining)


def finetuning(size: str, masked: MaskedBatch, tuning: str) -> Work:
    """Two outcomes from the same subjects' records."""
    study = _study(size, tuning)
    model = FinetuningModel(study, NUM_TOKENS)
    load_parameters(model, draw_first_weights(model, "benchmark"))
    plan, total = TuningPlan.of(study), MultitaskLoss(study)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(plan.rate_factor(name, 1) > 0)
    labels = (torch.arange(2 * masked.batch.num_sequences) % 3 == 0).float().view(-1, 2)
    flat = LabelledBatch(masked.batch, labels, (~labels.isnan()).sum(dim=0))
    padded = PaddedLabelledBatch(PaddedBatch.of(masked.batch), labels)

    def loss_of(piece: LabelledBatch) -> torch.Tensor:
        found: torch.Tensor = total(model(piece.batch), piece.labels, piece.num_step_labels)
        return found

    def losses_of(piece: PaddedLabelledBatch) -> torch.Tensor:
        return total.by_subject(model(piece.batch), piece.labels, None)

    return Work(model.train(), flat, padded, loss_of, losses_of, study.finetuning)


def _study(size: str, tuning: str) -> StudyConfig:
    return StudyConfig.model_validate(
        {
            "name": "bench",
            "model": {"size": size},
            "finetuning": {"tasks": ["death", "long_stay"], "tuning": tuning},
        }
    )
