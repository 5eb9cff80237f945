"""Files of ways: what counts with noise and without, and what both phases cost together."""

from pathlib import Path

import pytest
from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent, SelfComposedDpEvent
from dp_accounting.rdp import RdpAccountant
from hypothesis import given
from hypothesis import strategies as st

from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import ConfigError, UsageError
from fedehr_simulations.privacy_trials.trials import round_to_digits
from fedehr_simulations.privacy_trials.ways import Arm, Scope, read_arms
from fedehr_simulations.recipes import recipe_file

DELTA = 1e-6
STUDY = StudyConfig.model_validate(
    {
        "name": "noisy",
        "pretraining": {"rounds": 3, "steps_per_round": 5},
        "finetuning": {"tasks": ["death"], "rounds": 2, "steps_per_round": 7},
        "privacy": {
            "mechanism": "local",
            "target_epsilon": 99.0,
            "target_delta": DELTA,
            "pretraining": {"sample_rate": 0.1},
            "finetuning": {"sample_rate": 0.3},
        },
    }
)
WAYS = """
[variants.head]
"finetuning.tuning" = "probe"
plain."finetuning.rounds" = 9
private."privacy.finetuning.max_grad_norm" = 0.25
private.grid."finetuning.learning_rate" = [0.1, 0.2]
[variants.lora]
"finetuning.tuning" = "lora"
"""


def _arms(
    tmp_path: Path,
    text: str = WAYS,
    epsilons: tuple[float, ...] = (2.0,),
    scopes: tuple[Scope, ...] = ("finetuning", "both"),
) -> dict[str, Arm]:
    path = tmp_path / "ways.toml"
    path.write_text(text, encoding="utf-8")
    arms = read_arms(STUDY, path, epsilons, scopes)
    return {f"{arm.way} {arm.scope}": arm for arm in arms}


def _reference(sampled: list[tuple[float, float, int]]) -> float:
    accountant = RdpAccountant()
    for noise, rate, steps in sampled:
        event = PoissonSampledDpEvent(rate, GaussianDpEvent(noise))
        accountant.compose(SelfComposedDpEvent(event, steps))
    return float(accountant.get_epsilon(DELTA))


def test_noise_and_its_settings_are_where_they_are_asked_for(tmp_path: Path) -> None:
    arms = _arms(tmp_path)
    assert list(arms) == [
        "head none", "lora none", "head finetuning", "lora finetuning", "head both", "lora both",
    ]  # fmt: skip
    (plain,) = arms["head none"].variant.candidates
    assert plain.study.privacy.mechanism == "none"
    assert plain.study.finetuning.rounds == 9
    assert arms["head none"].subject_epsilon(0) is None
    for scope in ("finetuning", "both"):
        candidates = arms[f"head {scope}"].variant.candidates
        assert [one.study.finetuning.learning_rate for one in candidates] == [0.1, 0.2]
        for one in candidates:
            assert one.study.finetuning.rounds == 2
            assert one.study.privacy.finetuning.max_grad_norm == 0.25
            assert one.study.privacy.is_private("finetuning")
            assert one.pretraining is not None
            assert one.pretraining.privacy.is_private("pretraining") == (scope == "both")
            assert not one.pretraining.privacy.is_private("finetuning")
    # The clipping of fine-tuning differs between these two, and they share a pre-training.
    assert (
        arms["head both"].variant.candidates[0].pretraining
        == arms["lora both"].variant.candidates[0].pretraining
    )
    assert plain.pretraining == arms["lora finetuning"].variant.candidates[0].pretraining


@pytest.mark.parametrize("target", [0.7, 3.0, 8.0])
def test_both_phases_together_keep_the_target_and_use_it(tmp_path: Path, target: float) -> None:
    both = _arms(tmp_path, epsilons=(target,))["head both"]
    candidate = both.variant.candidates[1]
    assert candidate.pretraining is not None
    noise = candidate.study.privacy.noise_multiplier
    assert noise == candidate.pretraining.privacy.noise_multiplier
    spent = _reference([(noise, 0.1, 15), (noise, 0.3, 14)])
    assert both.subject_epsilon(1) == pytest.approx(spent, rel=1e-3)
    assert 0.98 * target < spent <= target * (1 + 1e-9)


def test_one_phase_alone_is_charged_alone(tmp_path: Path) -> None:
    arm = _arms(tmp_path)["lora finetuning"]
    (steps,) = arm.history(0)
    assert (steps.sample_rate, steps.num_steps) == (0.3, 14)
    assert arm.subject_epsilon(0) == pytest.approx(
        _reference([(steps.noise_multiplier, 0.3, 14)]), rel=1e-3
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[variants.a]\nprivate."privacy.noize" = 1', "noize"),
        ('[variants.a]\nprivate."masking.rate" = 0.5', "cannot vary"),
        ('[variants.a]\nprivate."finetuning.epochs_per_round" = 1.0', "steps_per_round"),
    ],
)
def test_wrong_keys_are_refused(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        _arms(tmp_path, text)


def test_a_study_without_noise_and_an_epsilon_of_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--epsilons"):
        _arms(tmp_path, epsilons=(0.0,))
    plain = StudyConfig.model_validate({"name": "a", "finetuning": {"tasks": ["death"]}})
    with pytest.raises(ConfigError, match="no noise to vary"):
        read_arms(plain, tmp_path / "ways.toml", (1.0,), ("both",))


@pytest.mark.parametrize("name", ["privacy-ways", "privacy-head", "privacy-levers"])
def test_built_in_ways_fit_the_recipe_and_keep_their_targets(name: str) -> None:
    study = StudyConfig.load(recipe_file("privacy"))
    for arm in read_arms(study, recipe_file(name), (3.0,), ("finetuning",)):
        for place in range(len(arm.variant.candidates)):
            epsilon = arm.subject_epsilon(place)
            assert (epsilon is None) == (arm.target is None)
            assert epsilon is None or epsilon <= 3.0


@given(number=st.floats(1, 1e8))
def test_rounding_stays_within_five_percent(number: float) -> None:
    assert round_to_digits(number) == pytest.approx(number, rel=0.051, abs=0.51)
