"""What rounding takes from an update is not lost: it comes with the next one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from fedehr_client.erasure.caches import remove_caches
from fedehr_client.training.error_feedback import ErrorFeedback, forget_error_feedback
from fedehr_shared.wire.codec.record import decode
from fedehr_shared.wire.payload import Arrays
from fedehr_shared.wire.reports import TrainReport
from fedehr_shared.wire.work import Phase, Work, WorkId

NUM_ROUNDS = 40
SHAPES = {"encoder.a": (7, 60), "heads.b": (3,)}


@pytest.fixture
def study(make_study: Any) -> Any:
    return make_study(
        exchange={"dtype": "int8"},
        pretraining={"rounds": NUM_ROUNDS},
        finetuning={"rounds": NUM_ROUNDS},
    )


def _update(number: int, names: tuple[str, ...] = tuple(SHAPES)) -> Arrays:
    generator = np.random.default_rng(number)
    return {name: generator.standard_normal(SHAPES[name]).astype(np.float32) for name in names}


def _send(
    folder: Path, study: Any, number: int, update: Arrays, *, phase: Phase = "pretraining",
    site: str = "north",
) -> bytes:  # fmt: skip
    work = Work(WorkId(study.digest, phase, number, 1), study, vocabulary_digest="v" * 64)
    report = TrainReport(site, 20, 3, 0.5, update)
    return ErrorFeedback(folder, work).payload(report).tensors["update"]


def _kept(folder: Path) -> dict[str, Arrays]:
    return {file.name: load_file(file) for file in folder.rglob("*.safetensors")}


def test_the_sum_of_what_was_sent_stays_at_the_sum_of_what_was_learnt(
    study: Any, tmp_path: Path
) -> None:
    """Within one rounding, after any number of rounds; without feedback the distance grows."""
    true = {name: np.zeros(shape) for name, shape in SHAPES.items()}
    sent = {name: np.zeros(shape) for name, shape in SHAPES.items()}
    alone = {name: np.zeros(shape) for name, shape in SHAPES.items()}
    errors, errors_alone = [], []
    for number in range(1, NUM_ROUNDS + 1):
        update = _update(number)
        record = decode(_send(tmp_path / "site", study, number, update))
        single = decode(_send(tmp_path / f"{number}", study, number, update))
        for name, value in update.items():
            true[name] += value
            sent[name] += record[name]
            alone[name] += single[name]
        errors.append(max(np.abs(sent[n] - true[n]).max() for n in SHAPES))
        errors_alone.append(max(np.abs(alone[n] - true[n]).max() for n in SHAPES))
    largest_step = 6.0 / 127
    assert max(errors) < largest_step
    assert errors_alone[-1] > 2 * largest_step
    mean = {name: np.abs(sent[name] - true[name]) / NUM_ROUNDS for name in SHAPES}
    assert max(value.max() for value in mean.values()) < largest_step / NUM_ROUNDS


def test_a_round_that_is_asked_again_gives_the_same_bits(study: Any, tmp_path: Path) -> None:
    first = [_send(tmp_path, study, number, _update(number)) for number in (1, 2, 3)]
    assert _send(tmp_path, study, 3, _update(3)) == first[2]
    assert _send(tmp_path, study, 3, _update(3)) == first[2]
    assert _send(tmp_path, study, 4, _update(4)) != first[2]
    # Another site, and another round, round by draws of their own.
    assert _send(tmp_path / "other", study, 1, _update(1), site="south") != first[0]
    assert _send(tmp_path / "other", study, 2, _update(1)) != first[0]


def test_a_tensor_that_a_round_leaves_out_keeps_what_it_is_owed(study: Any, tmp_path: Path) -> None:
    """Adapters may be answered every other round."""
    _send(tmp_path, study, 1, _update(1))
    (before,) = _kept(tmp_path).values()
    sent = decode(_send(tmp_path, study, 2, _update(2, ("encoder.a",))))
    assert set(sent) == {"encoder.a"}
    after = _kept(tmp_path)["pretraining-00002.safetensors"]
    assert np.array_equal(after["heads.b"], before["heads.b"])
    assert not np.array_equal(after["encoder.a"], before["encoder.a"])
    third = decode(_send(tmp_path, study, 3, _update(3, ("heads.b",))))
    due = _update(3, ("heads.b",))["heads.b"] + before["heads.b"]
    now = _kept(tmp_path)["pretraining-00003.safetensors"]
    assert np.allclose(third["heads.b"] + now["heads.b"], due, atol=1e-7)


@pytest.mark.parametrize("aggregation", ["average", "reprojection", "stacking"])
def test_adapters_that_begin_anew_are_owed_nothing(
    make_study: Any, tmp_path: Path, aggregation: str
) -> None:
    """What rounding took from the old factors is of other directions than the new ones have."""
    study = make_study(
        exchange={"dtype": "int8"},
        finetuning={"tuning": "lora", "rounds": 2},
        lora={"aggregation": aggregation},
    )
    shapes = {"encoder.blocks.0.q.lora_B.weight": (16, 8), "heads.0.weight": (1, 16)}
    generator = np.random.default_rng(0)
    first, second = (
        {n: generator.standard_normal(s).astype(np.float32) for n, s in shapes.items()}
        for _ in range(2)
    )
    _send(tmp_path / "one", study, 1, first, phase="finetuning")
    after = decode(_send(tmp_path / "one", study, 2, second, phase="finetuning"))
    alone = decode(_send(tmp_path / "other", study, 2, second, phase="finetuning"))
    changed = {name for name in shapes if not np.array_equal(after[name], alone[name])}
    assert changed == set(shapes) if aggregation == "average" else changed == {"heads.0.weight"}


def test_a_phase_begins_without_the_remainders_of_another(study: Any, tmp_path: Path) -> None:
    _send(tmp_path / "one", study, 1, _update(1))
    one = _send(tmp_path / "one", study, 1, _update(1), phase="finetuning")
    other = _send(tmp_path / "other", study, 1, _update(1), phase="finetuning")
    assert one == other
    assert set(_kept(tmp_path / "one")) == {"finetuning-00001.safetensors"}


def test_remainders_of_another_shape_are_left_alone(study: Any, tmp_path: Path) -> None:
    """The number of codes may change where a study is run again on another vocabulary."""
    _send(tmp_path, study, 1, _update(1))
    update = {"encoder.a": np.ones((2, 2), np.float32)}
    assert decode(_send(tmp_path, study, 2, update))["encoder.a"].shape == (2, 2)


@pytest.mark.parametrize("dtype", ["fp32", "bf16", "fp16"])
def test_what_is_rounded_to_the_nearest_keeps_nothing(
    make_study: Any, tmp_path: Path, dtype: str
) -> None:
    study = make_study(exchange={"dtype": dtype})
    sent = decode(_send(tmp_path, study, 1, _update(1)), dtype=dtype)  # type: ignore[arg-type]
    assert set(sent) == set(SHAPES)
    assert list(tmp_path.iterdir()) == []


def test_remainders_go_with_the_study_and_with_an_erasure(study: Any, tmp_path: Path) -> None:
    for is_erased in (False, True):
        _send(tmp_path, study, 1, _update(1))
        assert _kept(tmp_path)
        for _ in range(2):
            if is_erased:
                remove_caches(tmp_path)
            else:
                forget_error_feedback(tmp_path, study.digest)
            assert not _kept(tmp_path)
