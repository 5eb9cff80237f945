"""Whole studies whose sites add noise: to their end, and never the same twice."""

import json
from pathlib import Path
from typing import Any

import pytest

from fedehr_shared.model.tuning.plan import TuningPlan
from fedehr_shared.wire.codec.record import decode

PRIVACY: dict[str, Any] = {
    "mechanism": "local",
    "noise_multiplier": 1.0,
    "target_delta": 1e-4,
    "nominal_subjects": 100,
    "pretraining": {"sample_rate": 0.1, "max_grad_norm": 1.0},
    "finetuning": {"sample_rate": 0.1, "max_grad_norm": 1.0},
}
TUNINGS: dict[str, dict[str, Any]] = {
    "full": {},
    "probe": {"finetuning": {"tuning": "probe", "wide": True}},
    "probe_then_full": {"finetuning": {"tuning": "probe_then_full"}},
    "gradual": {"finetuning": {"tuning": "gradual"}},
    "lora": {"finetuning": {"tuning": "lora"}, "lora": {"rank": 2}},
    "vera": {"finetuning": {"tuning": "lora"}, "lora": {"rank": 2, "variant": "vera"}},
    "local_heads": {"finetuning": {"local_parts": ["heads"]}},
    "attention": {"model": {"pooling": "attention"}, "loss": {"task_weights": "uncertainty"}},
    "adaptive": {"privacy": {"clipping_quantile": 0.5}},
}


def _study(make_study: Any, **changes: Any) -> Any:
    privacy = PRIVACY | changes.pop("privacy", {})
    return make_study(privacy=privacy, **changes)


def _bits(weights: dict[str, Any]) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in weights.items()}


def test_noise_in_both_phases_ends_in_an_evaluation_and_is_never_the_same(
    make_study: Any, hospitals: Any, run_study_in_process: Any, tmp_path: Path
) -> None:
    study, sites = _study(make_study), hospitals.sites[:2]
    one = run_study_in_process(study, sites, tmp_path / "one")
    other = run_study_in_process(study, sites, tmp_path / "other")
    for run in (one, other):
        evaluation = json.loads((run.folder / "evaluation.json").read_text())
        assert set(evaluation) >= {"death", "long_stay"}
    first, second = _bits(one.latest_weights), _bits(other.latest_weights)
    moved = [name for name in first if first[name] != second[name]]
    # Noise falls on every number that is trained, tokens that no subject has included.
    assert set(moved) == set(first)


@pytest.mark.parametrize("changes", TUNINGS.values(), ids=TUNINGS)
def test_every_way_of_tuning_runs_with_noise(
    changes: dict[str, Any],
    make_study: Any,
    hospitals: Any,
    run_study_in_process: Any,
    tmp_path: Path,
) -> None:
    privacy = changes.get("privacy", {}) | {"phases": ["finetuning"]}
    study = _study(make_study, **{"pretraining": {"rounds": 0}, **changes, "privacy": privacy})
    done = run_study_in_process(study, hospitals.sites[:2], tmp_path)
    reports = [m.payload for m in done.messages if (m.phase, m.direction) == ("finetuning", "up")]
    assert len(reports) == 2 * study.finetuning.rounds
    for number, report in enumerate(reports):
        update = decode(report.tensors["update"])
        plan, now = TuningPlan.of(study), number // 2 + 1
        assert set(update) <= {name for name in update if plan.is_answered(name, now)}
        # What is trained has noise at every site, whoever was drawn.
        assert all(change.any() for change in update.values())
    assert (done.folder / "evaluation.json").is_file()
