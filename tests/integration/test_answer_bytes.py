"""A contract's bytes and tensors against answers of real studies: enough, and not by much."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from fedehr_server.phases.answer_shapes import answer_shapes
from fedehr_shared.contract.answer_bytes import answer_bytes, run_bytes, shapes_with
from fedehr_shared.contract.study_terms import rounds_of
from fedehr_shared.vocabulary.vocabulary import Vocabulary
from fedehr_shared.wire.codec.record import decode

LOCAL = {
    "mechanism": "local", "noise_multiplier": 1.0, "target_delta": 1e-4, "nominal_subjects": 200,
    "pretraining": {"sample_rate": 0.5}, "finetuning": {"sample_rate": 0.5},
}  # fmt: skip
SHORT = {"pretraining": {"rounds": 1}, "finetuning": {"rounds": 1}}
STUDIES: dict[str, dict[str, Any]] = {
    "moments, fp16": {
        "pretraining": {"rounds": 2, "optimizer_state": "averaged"},
        "finetuning": {"rounds": 2, "optimizer_state": "averaged"},
    },
    "fp32, not packed": {**SHORT, "exchange": {"dtype": "fp32", "compress": False}},
    "int8, attention": {
        **SHORT, "exchange": {"dtype": "int8"}, "model": {"pooling": "attention"},
    },
    "adapters": {
        "pretraining": {"rounds": 0},
        "finetuning": {"rounds": 2, "tuning": "lora"},
        "lora": {"rank": 2, "aggregation": "alternating"},
    },
    "private": {**SHORT, "privacy": LOCAL},
    "noisy vocabulary": {
        "vocabulary": {"min_cell": 2, "noise_epsilon": 50.0, "noise_delta": 1e-6},
        "pretraining": {"rounds": 0},
        "finetuning": {"rounds": 0},
    },
    "all numbers": {
        **SHORT, "vocabulary": {"min_cell": 2}, "evaluation": {"calibration": "platt"},
        "loss": {"task_weights": "dynamic", "class_weights": "balanced"},
    },
}  # fmt: skip
MOST_OF_PLAIN = 1.1
"""Where nothing is packed, all that a bound has too much are names and numbers not sent."""


@pytest.mark.parametrize("name", list(STUDIES))
def test_no_answer_is_larger_than_its_contract_says(
    name: str,
    make_study: Callable[..., Any],
    hospitals: Any,
    run_study_in_process: Any,
    tmp_path: Path,
) -> None:
    study = make_study(**STUDIES[name])
    run = run_study_in_process(study, hospitals.sites, tmp_path)
    vocabulary = Vocabulary.from_json((run.folder / "vocabulary.json").read_text())
    tensors = answer_shapes(study)
    answers = [m for m in run.messages if m.direction == "up"]
    codes = [m.payload.values.get("codes", {}) for m in answers]
    num_codes = max(len(own.get("code", [])) + len(own.get("above", [])) for own in codes)
    bounds = answer_bytes(study, tensors, num_tokens=vocabulary.num_tokens, num_codes=num_codes)
    assert set(bounds) == {m.phase for m in answers} == set(rounds_of(study))
    for phase, bound in bounds.items():
        sizes = [m.payload.num_bytes for m in answers if m.phase == phase]
        print(f"{name}, {phase}: {max(sizes)} of {bound} bytes, {bound / max(sizes):.2f} times")
        assert max(sizes) <= bound
    by_site = {m.node: 0 for m in answers}
    for message in answers:
        by_site[message.node] += message.payload.num_bytes
        _require_named(message, shapes_with(tensors.get(message.phase, {}), vocabulary.num_tokens))
    assert max(by_site.values()) <= run_bytes(study, bounds)


def _require_named(message: Any, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """What travels is named, and nothing is named that no round would send."""
    if "update" not in message.payload.tensors:
        return
    found = {key: value.shape for key, value in decode(message.payload.tensors["update"]).items()}
    assert found.items() <= shapes.items()


@pytest.mark.parametrize("dtype", ["fp32", "fp16", "bf16", "int8"])
def test_where_nothing_is_packed_the_bound_is_close(
    make_study: Callable[..., Any],
    hospitals: Any,
    run_study_in_process: Any,
    tmp_path: Path,
    dtype: str,
) -> None:
    study = make_study(
        exchange={"dtype": dtype, "compress": False},
        model={"hidden": 64},
        pretraining={"rounds": 1},
        finetuning={"rounds": 0},
    )
    run = run_study_in_process(study, hospitals.sites, tmp_path)
    vocabulary = Vocabulary.from_json((run.folder / "vocabulary.json").read_text())
    tensors = answer_shapes(study)
    bounds = answer_bytes(study, tensors, num_tokens=vocabulary.num_tokens, num_codes=0)
    size = max(m.payload.num_bytes for m in run.messages if (m.phase, m.direction) == _TRAINED)
    print(f"{dtype}: {size} of {bounds['pretraining']} bytes")
    assert size <= bounds["pretraining"] <= MOST_OF_PLAIN * size
    shapes = shapes_with(tensors["pretraining"], vocabulary.num_tokens)
    assert sum(map(math.prod, shapes.values())) * 4 < 10**6


_TRAINED = ("pretraining", "up")


def test_every_named_tensor_is_sent_in_some_round(
    make_study: Callable[..., Any], hospitals: Any, run_study_in_process: Any, tmp_path: Path
) -> None:
    study = make_study(
        pretraining={"rounds": 1},
        finetuning={"rounds": 3, "tuning": "gradual"},
        objective={"kind": "masked_autoencoder", "contrastive_weight": 0.5},
    )
    run = run_study_in_process(study, hospitals.sites, tmp_path)
    tensors = answer_shapes(study)
    for phase, shapes in tensors.items():
        own = [m for m in run.messages if (m.phase, m.direction) == (phase, "up")]
        sent = {name for m in own for name in decode(m.payload.tensors["update"])}
        assert sent == set(shapes)
