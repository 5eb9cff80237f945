"""What a study will cost: its noise from its target, rounds that cost nothing, adaptive norms."""

from typing import Any

import pytest
from opacus.accountants.utils import get_noise_multiplier

from fedehr_shared.config.section import parse
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import ConfigError
from fedehr_shared.privacy.adaptive_clipping import gradient_noise_multiplier
from fedehr_shared.privacy.calibration import noise_multiplier
from fedehr_shared.privacy.noisy_steps import NoisySteps
from fedehr_shared.privacy.pld import epsilon_bounds
from fedehr_shared.privacy.rdp import subject_epsilon
from fedehr_shared.privacy.study_cost import StudyCost

LOCAL: dict[str, Any] = {"mechanism": "local", "target_epsilon": 3.0, "target_delta": 1e-5}


def _study(privacy: dict[str, Any], **sections: Any) -> StudyConfig:
    values = {
        "name": "a",
        "pretraining": {"rounds": 5, "steps_per_round": 20},
        "finetuning": {"tasks": ["death"], "rounds": 10, "steps_per_round": 30},
        "privacy": privacy,
    }
    for name, keys in sections.items():
        values[name] = {**values.get(name, {}), **keys}  # type: ignore[dict-item]
    return parse(values, StudyConfig, "study.toml")


@pytest.mark.parametrize("target", [0.2, 1.0, 8.0])
@pytest.mark.parametrize("plan", [[(0.02, 2_000)], [(0.05, 100), (0.01, 700), (1.0, 3)]])
def test_the_noise_is_the_least_of_four_digits(
    target: float, plan: list[tuple[float, int]]
) -> None:
    found = noise_multiplier(target, 1e-5, plan)
    assert float(f"{found:.4g}") == found
    place = 10.0 ** -(3 - len(str(int(found)))) * 0.1 if found >= 1 else 0.0001

    def epsilon(noise: float) -> float:
        return subject_epsilon([NoisySteps(noise, rate, num) for rate, num in plan], 1e-5)

    assert epsilon(found) <= target < epsilon(found - place)


@pytest.mark.filterwarnings("ignore:Optimal order")
def test_opacus_finds_the_same_noise() -> None:
    theirs = get_noise_multiplier(
        target_epsilon=3, target_delta=1e-5, sample_rate=0.02, steps=2_000, accountant="rdp"
    )
    assert noise_multiplier(3, 1e-5, [(0.02, 2_000)]) == pytest.approx(theirs, rel=0.01)


def test_both_phases_are_paid_by_one_noise() -> None:
    cost = StudyCost.of(_study(LOCAL | {"finetuning": {"sample_rate": 0.02}}))
    noise = cost.noise_multiplier
    assert cost.of_round("pretraining") == NoisySteps(noise, 0.05, 20)
    assert cost.of_round("finetuning") == NoisySteps(noise, 0.02, 30)
    assert cost.num_steps == 5 * 20 + 10 * 30
    assert 0.95 * 3 < cost.subject_epsilon <= 3
    assert cost.subject_epsilon == subject_epsilon(cost.history(), 1e-5)
    # A target for each round would spend it fifteen times over.
    one_round = noise_multiplier(3, 1e-5, [(0.05, 20)])
    assert subject_epsilon([NoisySteps(one_round, 0.05, 400)], 1e-5) > 8


def test_epsilon_grows_from_round_to_round_to_the_target() -> None:
    cost = StudyCost.of(_study(LOCAL))
    rounds = [("pretraining", n) for n in range(1, 6)] + [("finetuning", n) for n in range(1, 11)]
    told = [subject_epsilon(cost.history_until(*one), cost.delta) for one in rounds]
    assert told == sorted(told)
    assert len(set(told)) == len(told)
    assert told[-1] == cost.subject_epsilon
    assert cost.history("pretraining", 2) == cost.history_until("pretraining", 2)


@pytest.mark.parametrize(
    "sections",
    [
        {"pretraining": {"rounds": 0, "steps_per_round": 20}},
        {
            "vocabulary": {"reuse": "ab" * 32},
            "pretraining": {"rounds": 0, "reuse": "cd" * 32},
        },
    ],
)
def test_a_phase_without_rounds_costs_nothing(sections: dict[str, Any]) -> None:
    cost = StudyCost.of(_study(LOCAL, **sections))
    alone = StudyCost.of(_study(LOCAL | {"phases": ["finetuning"]}))
    assert cost.rounds == alone.rounds == {"finetuning": 10}
    assert cost.noise_multiplier == alone.noise_multiplier
    assert cost.of_round("pretraining").num_steps == 0
    assert cost.history("pretraining") == []
    assert cost.history_until("pretraining", 3) == []


def test_a_study_without_noise_costs_nothing() -> None:
    cost = StudyCost.of(_study({}))
    assert (cost.subject_epsilon, cost.noise_multiplier, cost.history()) == (0.0, 0.0, [])


def test_the_coordinators_noise_is_a_release_a_round() -> None:
    central = {"mechanism": "central", "noise_multiplier": 5.0, "target_delta": 1e-3}
    phases = {"optimizer_state": "kept"}
    cost = StudyCost.of(_study(central, pretraining=phases, finetuning=phases))
    assert cost.history() == [NoisySteps(5.0, 1.0, 15)]
    assert cost.history_until("finetuning", 4) == [NoisySteps(5.0, 1.0, 9)]


def test_the_same_study_has_the_same_cost_at_both_ends() -> None:
    study = _study(LOCAL)
    assert StudyCost.of(StudyConfig.from_json(study.to_json())) == StudyCost.of(study)


def test_a_noise_that_is_given_is_charged_as_it_is() -> None:
    cost = StudyCost.of(
        _study({"mechanism": "local", "noise_multiplier": 1.23456, "target_delta": 1e-5})
    )
    assert cost.noise_multiplier == cost.charged_multiplier == 1.23456


def test_a_target_beyond_reach_is_refused() -> None:
    with pytest.raises(ConfigError, match="target_epsilon = 1e-06 needs noise above 1000"):
        StudyCost.of(_study(LOCAL | {"target_epsilon": 1e-6}))


def test_a_huge_target_still_has_noise() -> None:
    cost = StudyCost.of(_study(LOCAL | {"target_epsilon": 1_000.0}))
    assert 0 < cost.noise_multiplier < 1
    assert cost.subject_epsilon <= 1_000


@pytest.mark.parametrize("count_noise", [1.0, 10.0, 50.0])
def test_the_count_of_an_adaptive_norm_is_part_of_the_charge(count_noise: float) -> None:
    charged = 1.5
    gradient = gradient_noise_multiplier(charged, count_noise)
    assert gradient > charged
    # A subject moves the gradients' sum by one, and the count less one half each by a half.
    both = [NoisySteps(gradient, 1.0, 1), NoisySteps(2 * count_noise, 1.0, 1)]
    together, alone = epsilon_bounds(both, 1e-5), epsilon_bounds([NoisySteps(1.5, 1.0, 1)], 1e-5)
    assert together.pessimistic == pytest.approx(alone.pessimistic, rel=1e-3)


def test_an_adaptive_norm_keeps_the_target_by_more_noise() -> None:
    fixed = StudyCost.of(_study(LOCAL))
    adaptive = StudyCost.of(_study(LOCAL | {"clipping_quantile": 0.5}))
    assert adaptive.charged_multiplier == fixed.charged_multiplier
    assert adaptive.noise_multiplier > fixed.noise_multiplier
    assert adaptive.of_round("finetuning") == fixed.of_round("finetuning")
    assert adaptive.noise_multiplier == gradient_noise_multiplier(fixed.noise_multiplier, 10.0)


def test_a_count_that_costs_more_than_the_target_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"clipping_count_noise = 0\.2 is too little"):
        StudyCost.of(_study(LOCAL | {"clipping_quantile": 0.5, "clipping_count_noise": 0.2}))
