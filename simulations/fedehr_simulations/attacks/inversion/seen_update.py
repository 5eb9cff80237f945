"""`SeenUpdate`: what one step of fine-tuning shows to whoever receives it."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from fedehr_client.compute.compute import Compute
from fedehr_client.compute.token_budget import TokenBudget
from fedehr_client.privacy.clipping_norm import ClippingNorm
from fedehr_client.privacy.hooked_gradients import HookedGradients
from fedehr_client.privacy.mechanism import Mechanism
from fedehr_client.privacy.private_step import PrivateStepTaker
from fedehr_client.privacy.randomness import PrivateRandomness
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.model.finetuning_model import FinetuningModel
from fedehr_shared.model.heads.multitask import MultitaskLoss
from fedehr_shared.model.tuning.plan import TuningPlan
from fedehr_shared.model.weights import build_model
from fedehr_shared.tokens.padded_labels import PaddedLabelledBatch
from fedehr_shared.wire.payload import Arrays

Gradients = dict[str, torch.Tensor]


@dataclass(frozen=True)
class SeenUpdate:
    """A step's mean gradient, of the parameters that travel.

    One step is the most that a round can show: a round of many steps and many subjects mixes
    more of them.

    Attributes:
        model: with the weights before the step, which all parties know.
        gradients: by name.
    """

    model: FinetuningModel
    gradients: Gradients


def seen_update(
    study: StudyConfig,
    num_tokens: int,
    weights: Arrays,
    labelled: PaddedLabelledBatch,
    mechanism: Mechanism | None,
) -> SeenUpdate:
    """Take one step and look at it.

    Args:
        study: says what is trained.
        num_tokens: the vocabulary's size.
        weights: before the step.
        labelled: the subjects of the step.
        mechanism: clips and adds noise, as the client does; None: nothing does.
    """
    model = build_model(lambda: FinetuningModel(study, num_tokens), weights).eval()
    plan = TuningPlan.of(study)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(plan.rate_factor(name, study.finetuning.rounds) > 0)
    loss = MultitaskLoss(study)

    def losses_of(piece: PaddedLabelledBatch) -> torch.Tensor:
        return loss.by_subject(model(piece.batch).float(), piece.labels)

    if mechanism is None:
        found = _mean_gradients(model, losses_of(labelled))
    else:
        found = _noisy_gradients(model, losses_of, labelled, mechanism)
    return SeenUpdate(model, found)


def _mean_gradients(model: FinetuningModel, losses: torch.Tensor) -> Gradients:
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    found = torch.autograd.grad(losses.mean(), list(trained.values()))
    return dict(zip(trained, found, strict=True))


def _noisy_gradients(
    model: FinetuningModel,
    losses_of: Callable[[PaddedLabelledBatch], torch.Tensor],
    labelled: PaddedLabelledBatch,
    mechanism: Mechanism,
) -> Gradients:
    """Read off the weights, as whoever sees an update does."""
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    before = {name: p.detach().clone() for name, p in trained.items()}
    gradients = HookedGradients(model)
    taker: PrivateStepTaker[PaddedLabelledBatch] = PrivateStepTaker(
        torch.optim.SGD(trained.values(), lr=1.0),
        losses_of,
        Compute(torch.device("cpu")),
        TokenBudget(None),
        gradients=gradients,
        clipping=ClippingNorm(mechanism),
        randomness=PrivateRandomness(),
    )
    # Opacus listens to a model that trains.
    model.train()
    with gradients.listening():
        taker.take(1, 0, labelled)
    model.eval()
    found = {name: before[name] - p.detach() for name, p in trained.items()}
    with torch.no_grad():
        for name, parameter in trained.items():
            parameter.copy_(before[name])
    return found
