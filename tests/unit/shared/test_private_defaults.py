"""What `[privacy]` changes of a study's defaults, and what it leaves alone."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedehr_shared.config.lora import RESTARTING
from fedehr_shared.config.study import StudyConfig

LOCAL = {"mechanism": "local", "target_epsilon": 3.0, "target_delta": 1e-5}


def study(finetuning: dict[str, Any] | None = None, **sections: Any) -> StudyConfig:
    values = {"name": "noisy", "finetuning": {"tasks": ["death"], **(finetuning or {})}, **sections}
    return StudyConfig.model_validate(values)


def test_under_noise_the_heads_alone_are_trained() -> None:
    made = study(privacy=LOCAL)
    assert made.finetuning.tuning == "probe"
    assert not made.finetuning.shortcut
    assert made.finetuning.schedule == "constant"
    assert (
        made.privacy.finetuning.sample_rate
        > study({"tuning": "full"}, privacy=LOCAL).privacy.finetuning.sample_rate
    )


@pytest.mark.parametrize(
    "privacy",
    [
        {},
        {**LOCAL, "phases": ["pretraining"]},
        {"mechanism": "central", "target_epsilon": 3.0, "target_delta": 1e-5},
    ],
    ids=["none", "pretraining", "central"],
)
def test_without_noise_in_finetuning_nothing_changes(privacy: dict[str, Any]) -> None:
    phases = {"pretraining": {"optimizer_state": "kept"}}
    given = {"optimizer_state": "kept"}
    made = study(given, privacy=privacy, **phases)
    assert made.finetuning == study(given, **phases).finetuning
    assert made.privacy.finetuning == StudyConfig.model_fields["privacy"].default.finetuning


def test_heads_that_stay_at_the_sites_leave_the_encoder_to_be_trained() -> None:
    assert study({"local_parts": ["heads"]}, privacy=LOCAL).finetuning.tuning == "full"


def test_what_is_given_stands() -> None:
    given = {
        "tuning": "full", "shortcut": True, "rounds": 3, "steps_per_round": 7,
        "learning_rate": 1e-3, "schedule": "cosine", "weight_decay": 0.5,
        "encoder_rate_factor": 0.5,
    }  # fmt: skip
    phase = {"sample_rate": 0.01, "max_grad_norm": 2.0}
    made = study(given, privacy={**LOCAL, "finetuning": phase})
    assert made.finetuning.model_dump(include=set(given)) == given
    assert made.privacy.finetuning.model_dump() == phase


def test_adapters_have_their_rate_and_the_linear_term() -> None:
    made = study({"tuning": "lora"}, privacy=LOCAL)
    assert made.finetuning.wide
    assert made.finetuning.optimizer_state == "averaged"
    assert made.lora.rate_factor < study({"tuning": "lora"}).lora.rate_factor


@pytest.mark.parametrize("aggregation", RESTARTING)
def test_adapters_that_begin_afresh_have_fresh_moments(aggregation: str) -> None:
    made = study({"tuning": "lora"}, lora={"aggregation": aggregation}, privacy=LOCAL)
    assert made.finetuning.optimizer_state == "fresh"


_TUNINGS = st.sampled_from(["probe", "probe_then_full", "full", "gradual", "lora", None])


@given(_TUNINGS, st.booleans(), st.integers(2, 9))
def test_a_study_that_travels_is_the_same_study(
    tuning: str | None, is_private: bool, rounds: int
) -> None:
    given = {"rounds": rounds} | ({"tuning": tuning} if tuning else {})
    made = study(given, **({"privacy": LOCAL} if is_private else {}))
    assert StudyConfig.from_json(made.to_json()) == made


@pytest.mark.parametrize("wrong", [{"privacy": 3}, {"privacy": {**LOCAL, "finetuning": 3}}])
def test_what_is_no_section_is_told_as_such(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="privacy"):
        study(**wrong)
