"""`[model]`, `[objective]`, `[pretraining]`: what may stand together and what may not."""

from typing import Any

import pytest

from fedehr_shared.config.model import SIZES
from fedehr_shared.config.section import parse
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import ConfigError


def _study(**sections: Any) -> StudyConfig:
    values = {"name": "a", "finetuning": {"tasks": ["death"]}, **sections}
    return parse(values, StudyConfig, "study.toml")


@pytest.mark.parametrize("size", SIZES)
def test_a_named_size_is_the_study_of_its_numbers(size: str) -> None:
    named = _study(model={"size": size, "pooling": "sum"})
    numbers = _study(model={**SIZES[size]._asdict(), "pooling": "sum"})
    assert named == numbers
    assert named.digest == numbers.digest
    assert StudyConfig.from_json(named.to_json()) == named


def test_sizes_grow() -> None:
    assert list(SIZES.values()) == sorted(SIZES.values())
    assert len({_study(model={"size": size}).digest for size in SIZES}) == len(SIZES)


def test_a_number_may_stand_beside_its_size_only_if_it_agrees() -> None:
    assert _study(model={"size": "base", "layers": 6}) == _study(model={"size": "base"})
    with pytest.raises(ConfigError, match="size 'base' has layers = 6"):
        _study(model={"size": "base", "layers": 7})


@pytest.mark.parametrize("size", ["huge", "", 3, ["base"], None])
def test_an_unknown_size_is_refused_with_the_known_ones(size: Any) -> None:
    with pytest.raises(ConfigError, match="tiny, small, base, large"):
        _study(model={"size": size})


@pytest.mark.parametrize(
    ("sections", "told"),
    [
        ({"objective": {"kind": "contrastive", "contrastive_weight": 0.5}}, "leave it at 0"),
        ({"objective": {"kind": "autoregressive"}}, "masked_events"),
        ({"objective": {"hidden_share": 1.0}}, "hidden_share"),
        ({"objective": {"contrastive_group": 1}}, "contrastive_group"),
        ({"objective": {"temperature": 0.0}}, "temperature"),
        ({"pretraining": {"epochs_per_round": 1.0, "steps_per_round": 3}}, "not both"),
        ({"pretraining": {"optimizer_state": "shared"}}, "kept"),
        ({"pretraining": {"schedule": "linear"}}, "cosine"),
        ({"pretraining": {"proximal_weight": -1}}, "proximal_weight"),
        ({"pretraining": {"minutes_per_round": float("nan")}}, "minutes_per_round"),
        ({"pretraining": {"minutes_per_round": 60}}, "round_deadline_seconds = 3600"),
        (
            {"federation": {"round_deadline_seconds": 90}, "pretraining": {"minutes_per_round": 2}},
            "leaves no time",
        ),
        ({"finetuning": {"tasks": ["death"], "private_bias": True}}, "private_bias"),
        ({"sequence": {"context": 4}}, "context"),
        ({"sequence": {"context": 100_000}}, "context"),
        ({"masking": {"rate": 0.0}}, "rate"),
        ({"objective": {"hidden_share": 0.0}}, "hidden_share"),
        ({"objective": {"decoder_layers": 0}}, "decoder_layers"),
        ({"objective": {"projection": 1}}, "projection"),
        ({"objective": {"contrastive_weight": -1.0}}, "contrastive_weight"),
        (
            {"objective": {"kind": "contrastive"}, "pretraining": {"private_bias": True}},
            "names none",
        ),
        (
            {"objective": {"kind": "contrastive"}, "pretraining": {"batch_subjects": 1}},
            "at least 2",
        ),
        (
            {"objective": {"contrastive_weight": 0.1}, "pretraining": {"batch_subjects": 1}},
            "at least 2",
        ),
    ],
)
def test_what_cannot_be_is_refused_by_its_name(sections: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        _study(**sections)


@pytest.mark.parametrize(
    ("objective", "num_views"),
    [
        ({}, 1),
        ({"kind": "masked_autoencoder"}, 1),
        ({"kind": "contrastive"}, 2),
        ({"contrastive_weight": 0.1}, 2),
        ({"kind": "masked_autoencoder", "contrastive_weight": 0.1}, 2),
    ],
)
def test_views_are_two_where_they_are_compared(objective: dict[str, Any], num_views: int) -> None:
    assert _study(objective=objective).objective.num_views == num_views
