"""`[privacy]`: what may stand beside it, and what would make its epsilon untrue."""

from typing import Any

import pytest

from fedehr_shared.config.section import parse
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import ConfigError

LOCAL: dict[str, Any] = {"mechanism": "local", "target_epsilon": 3.0, "target_delta": 1e-5}
CENTRAL: dict[str, Any] = {"mechanism": "central", "target_epsilon": 3.0, "target_delta": 1e-3}
KEPT: dict[str, Any] = {"optimizer_state": "kept"}


def _study(privacy: dict[str, Any], sections: dict[str, Any]) -> StudyConfig:
    values: dict[str, Any] = {"name": "a", "finetuning": {"tasks": ["death"]}, "privacy": privacy}
    if privacy.get("mechanism") == "central":
        values |= {"pretraining": KEPT, "finetuning": {"tasks": ["death"], **KEPT}}
    for name, keys in sections.items():
        values[name] = {**values.get(name, {}), **keys}
    return parse(values, StudyConfig, "study.toml")


@pytest.mark.parametrize(
    ("privacy", "sections", "told"),
    [
        ({"target_epsilon": 3.0}, {}, "mechanism is not 'local' or 'central'"),
        ({"mechanism": "local", "target_delta": 1e-5}, {}, "one of the two"),
        (LOCAL | {"noise_multiplier": 1.0}, {}, "one of the two"),
        (
            {"mechanism": "local", "noise_multiplier": 1e-300, "target_delta": 1e-5},
            {},
            "noise_multiplier must be at least 0.01",
        ),
        (LOCAL | {"target_delta": 0.0}, {}, "target_delta must be given"),
        (LOCAL | {"phases": []}, {}, "phases names one twice, or none"),
        (LOCAL | {"phases": ["finetuning", "finetuning"]}, {}, "phases names one twice"),
        (LOCAL | {"max_update_norm": 2.0}, {}, "max_update_norm has no meaning"),
        (LOCAL | {"clipping_rate": 0.1}, {}, "clipping_rate is given without"),
        (LOCAL | {"clipping_count_noise": 5.0}, {}, "clipping_count_noise is given without"),
        (
            {
                "mechanism": "local",
                "noise_multiplier": 4.0,
                "target_delta": 1e-5,
                "clipping_quantile": 0.5,
                "clipping_count_noise": 2.0,
            },
            {},
            "give more than half of that",
        ),
        (LOCAL | {"nominal_subjects": 200_000}, {}, "one in 100000 subjects"),
        (LOCAL, {"pretraining": {"epochs_per_round": 1.0}}, "epochs_per_round makes the number"),
        (LOCAL, {"finetuning": {"minutes_per_round": 5}}, "minutes_per_round makes the number"),
        (LOCAL, {"finetuning": {"batch_subjects": 16}}, "batch_subjects makes the number"),
        (LOCAL, {"objective": {"kind": "contrastive"}}, "keeps subjects apart"),
        (LOCAL, {"objective": {"contrastive_weight": 0.5}}, "keeps subjects apart"),
        (LOCAL, {"pretraining": {"private_bias": True}}, "follows the site's records"),
        (LOCAL, {"pretraining": {"rounds": 0}, "finetuning": {"rounds": 0}}, "to no round"),
        (LOCAL | {"phases": ["pretraining"]}, {"pretraining": {"rounds": 0}}, "to no round"),
        (LOCAL | {"metrics": "withheld"}, {"loss": {"task_weights": "dynamic"}}, "withheld"),
        (CENTRAL | {"nominal_subjects": 9}, {}, "nominal_subjects has no meaning"),
        (CENTRAL | {"clipping_quantile": 0.5}, {}, "clipping_quantile has no meaning"),
        (CENTRAL | {"phases": ["finetuning"]}, {}, "phases has no meaning"),
        (CENTRAL | {"finetuning": {"sample_rate": 0.1}}, {}, "finetuning has no meaning"),
        (CENTRAL, {"pretraining": {"optimizer_state": "averaged"}}, "sends moments"),
        (CENTRAL, {"loss": {"task_weights": "dynamic"}}, "tuning losses"),
        (CENTRAL, {"loss": {"class_weights": "balanced"}}, "label counts"),
        (
            CENTRAL,
            {
                "finetuning": {"tuning": "lora", "optimizer_state": "fresh"},
                "lora": {"aggregation": "reprojection"},
            },
            "has no such mean",
        ),
    ],
)
def test_what_contradicts_is_refused(
    privacy: dict[str, Any], sections: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        _study(privacy, sections)


@pytest.mark.parametrize(
    ("privacy", "sections"),
    [
        (LOCAL, {}),
        (LOCAL | {"clipping_quantile": 0.5, "clipping_rate": 0.1}, {}),
        (LOCAL | {"metrics": "withheld"}, {}),
        # What a phase without noise does, epsilon does not speak of.
        (LOCAL | {"phases": ["finetuning"]}, {"pretraining": {"epochs_per_round": 1.0}}),
        (LOCAL | {"phases": ["finetuning"]}, {"pretraining": {"private_bias": True}}),
        (LOCAL | {"phases": ["finetuning"]}, {"objective": {"kind": "contrastive"}}),
        # Of losses of the tuning split and of label counts: told apart, and named in the report.
        (LOCAL, {"loss": {"task_weights": "dynamic"}}),
        (LOCAL, {"loss": {"class_weights": "balanced"}}),
        (LOCAL, {"finetuning": {"local_parts": ["heads"]}}),
        (CENTRAL, {}),
        (CENTRAL, {"finetuning": {"tuning": "lora"}, "lora": {"aggregation": "frozen_a"}}),
        (CENTRAL, {"finetuning": {"tuning": "lora"}, "lora": {"aggregation": "alternating"}}),
        (CENTRAL, {"pretraining": {"rounds": 0, "optimizer_state": "averaged"}}),
    ],
)
def test_what_goes_together_is_read(privacy: dict[str, Any], sections: dict[str, Any]) -> None:
    study = _study(privacy, sections)
    assert StudyConfig.from_json(study.to_json()) == study
