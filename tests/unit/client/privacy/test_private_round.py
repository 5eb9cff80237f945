"""A private round: fresh noise each time, the clipping norm kept, the model left clean."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fedehr_client.compute.compute import Compute
from fedehr_client.privacy.mechanism import Mechanism
from fedehr_client.privacy.private_step import PrivateStepTaker
from fedehr_client.privacy.randomness import PrivateRandomness
from fedehr_client.training.carry_over import CLIPPING_NORM
from fedehr_client.training.local_state import LocalState
from fedehr_client.training.loop import RoundContext, RoundResult, RoundTrainer
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import TrainingError
from fedehr_shared.model.weights import load_parameters, parameters_of

MECHANISM = Mechanism(noise_multiplier=1.0, max_grad_norm=0.5, expected_subjects=4.0)
ADAPTIVE = replace(MECHANISM, quantile=0.5, adaption_rate=0.5, count_noise=1.0)
STUDY = StudyConfig.model_validate(
    {
        "name": "any",
        "model": {"layers": 2, "hidden": 16, "heads": 2},
        "finetuning": {
            "tasks": ["death"], "rounds": 3, "steps_per_round": 2, "optimizer_state": "fresh",
            "proximal_weight": 0.1,
        },
    }
)  # fmt: skip


def _round(
    variant: Any,
    mechanism: Mechanism = MECHANISM,
    *,
    number: int = 1,
    state: LocalState | None = None,
    randomness: PrivateRandomness | None = None,
) -> RoundResult:
    weights = parameters_of(variant.model)
    context = RoundContext(
        STUDY, "site", number, 24, weights, None, Compute(torch.device("cpu"), checkpointing=True),
        local_state=state, randomness=randomness,
    )  # fmt: skip
    rates = {name: float(p.requires_grad) for name, p in variant.model.named_parameters()}
    trainer = RoundTrainer(variant.model, STUDY.finetuning, rates.__getitem__, mechanism=mechanism)
    try:
        return trainer.run(context, lambda _: variant.batch, variant.losses_of)
    finally:
        load_parameters(variant.model, weights)


def _trained(variant: Any, result: RoundResult) -> np.ndarray:
    names = [name for name, p in variant.model.named_parameters() if p.requires_grad]
    return np.concatenate([result.update[name].ravel() for name in names])


@pytest.mark.parametrize("name", ["lora", "full"])
def test_the_same_round_twice_differs_and_moves_every_trained_number(make: Any, name: str) -> None:
    variant = make(name)
    found = []
    for _ in range(2):
        torch.manual_seed(5)
        result = _round(variant)
        assert result.num_steps == 2
        found.append(_trained(variant, result))
    assert np.all(found[0] != 0)
    assert np.mean(found[0] == found[1]) < 0.05  # AdamW's first steps are nearly all of one size
    assert np.mean(np.sign(found[0]) != np.sign(found[1])) > 0.1


def test_randomness_that_a_test_gives_is_what_is_used(
    make: Any, known: Callable[[int], PrivateRandomness]
) -> None:
    variant = make("lora")
    first, again, other = (
        _trained(variant, _round(variant, randomness=known(seed))) for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_what_does_not_learn_stays_bit_by_bit(make: Any) -> None:
    variant = make("lora")
    update = _round(variant).update
    for name, parameter in variant.model.named_parameters():
        if not parameter.requires_grad:
            assert not update[name].any()


def test_an_adaptive_norm_goes_on_where_the_round_before_left_it(make: Any, tmp_path: Path) -> None:
    variant = make("lora")
    state = LocalState(tmp_path, STUDY.digest, "finetuning", "vocabulary")
    _round(variant, ADAPTIVE, state=state)
    kept = state.before(2)
    assert kept is not None
    first = float(kept[CLIPPING_NORM])
    assert first != ADAPTIVE.max_grad_norm
    started = []
    for number in (2, 2, 1):
        values = _first_norm(variant, number, state)
        started.append(values)
    # A round that is asked for again starts where it started.
    assert started == [first, first, ADAPTIVE.max_grad_norm]


def _first_norm(variant: Any, number: int, state: LocalState) -> float:
    """The clipping norm that a round's first step is taken with."""
    still = replace(ADAPTIVE, adaption_rate=1e-12)
    trainer = RoundTrainer(variant.model, STUDY.finetuning, lambda _: 1.0, mechanism=still)
    context = RoundContext(
        STUDY, "site", number, 24, parameters_of(variant.model), None,
        Compute(torch.device("cpu")), local_state=state,
    )  # fmt: skip
    seen: list[float] = []
    take = PrivateStepTaker.take

    def watched(self: Any, step: int, seed: int, batch: Any) -> Any:
        seen.append(self._clipping.value)
        return take(self, step, seed, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PrivateStepTaker, "take", watched)
        before = parameters_of(variant.model)
        trainer.run(context, lambda _: variant.batch, variant.losses_of)
        load_parameters(variant.model, before)
    return seen[0]


def test_a_failed_round_leaves_a_model_that_can_be_listened_to_again(make: Any) -> None:
    variant = make("full")
    losses_of = variant.losses_of
    with pytest.raises(TrainingError):
        _round(replace(variant, losses_of=lambda piece: losses_of(piece).sum()))
    assert _round(variant).num_steps == 2
