"""Whole studies with each dtype on the wire: close to fp32's, the same each time, and smaller."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from fedehr_server.checkpoint import CheckpointFolder, load_weights
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.wire.codec.record import decode

DTYPES = ("fp32", "bf16", "fp16", "int8")
LONGER = {"rounds": 4, "steps_per_round": 3, "steps_per_epoch": 6}
MOST_DISTANCE = {"bf16": 0.1, "fp16": 0.02, "int8": 0.03}
"""From fp32's weights, as a share of how far the study moved them."""


@pytest.fixture(scope="module")
def runs(
    make_study: Any, hospitals: Any, run_study_in_process: Any, tmp_path_factory: Any
) -> dict[str, Any]:
    """One study a dtype, of pre-training alone, and int8's a second time."""
    folder = tmp_path_factory.mktemp("exchange")
    done = {}
    with pytest.MonkeyPatch.context() as patch:
        # Seeds of batches and masks come from the digest, and the dtype would change it.
        patch.setattr(StudyConfig, "digest", property(lambda _: "5" * 64))
        for name in (*DTYPES, "int8 again"):
            study = make_study(
                exchange={"dtype": name.split()[0]}, pretraining=LONGER, finetuning={"rounds": 0}
            )
            done[name] = run_study_in_process(study, hospitals.sites, folder / name)
    return done


def _weights(run: Any) -> dict[str, Any]:
    return load_weights(CheckpointFolder(run.folder / "checkpoints").latest("pretraining"))


def _records(run: Any, record: str) -> list[bytes]:
    return [m.payload.tensors[record] for m in run.messages if record in m.payload.tensors]


def _flat(weights: dict[str, Any]) -> Any:
    return np.concatenate([weights[name].reshape(-1) for name in sorted(weights)])


@pytest.mark.parametrize("dtype", ["bf16", "fp16", "int8"])
def test_a_study_ends_near_that_of_fp32(runs: dict[str, Any], dtype: str) -> None:
    first = _flat(decode(_records(runs["fp32"], "model")[0]))
    exact, found = (_flat(_weights(runs[name])) for name in ("fp32", dtype))
    moved = np.linalg.norm(exact - first)
    assert 0 < np.linalg.norm(found - exact) < MOST_DISTANCE[dtype] * moved
    losses = [runs[name].result["pretraining_loss"] for name in ("fp32", dtype)]
    assert losses[1] == pytest.approx(losses[0], abs=0.01)
    assert losses[1][-1] < losses[1][0] - 0.1


def test_a_study_in_int8_repeats_bit_by_bit(runs: dict[str, Any]) -> None:
    one, other = (runs[name] for name in ("int8", "int8 again"))
    assert _records(one, "update") == _records(other, "update")
    assert _flat(_weights(one)).tobytes() == _flat(_weights(other)).tobytes()


def test_what_travels_is_as_small_as_its_dtype(runs: dict[str, Any]) -> None:
    """Against fp32's; a small model's names and scales count, too."""
    sizes = {name: sum(map(len, _records(run, "update"))) for name, run in runs.items()}
    for dtype, most in {"bf16": 0.6, "fp16": 0.6, "int8": 0.45}.items():
        assert sizes[dtype] < most * sizes["fp32"]
    # Weights and moments are rounded at random by nobody.
    models = {name: sum(map(len, _records(run, "model"))) for name, run in runs.items()}
    assert models["int8"] == pytest.approx(models["fp16"], rel=0.01)
    for record in _records(runs["int8"], "model"):
        decode(record, dtype="fp16")


def test_what_rounding_lost_stays_at_the_site(runs: dict[str, Any]) -> None:
    kept = {
        name: list((Path(run.work)).rglob("rounding_loss/*/*.safetensors"))
        for name, run in runs.items()
    }
    assert {name for name, files in kept.items() if files} == {"int8", "int8 again"}
    assert len(kept["int8"]) == 2 * 3


@pytest.mark.parametrize(
    "changes",
    [
        {"exchange": {"dtype": "bf16"}},
        {
            "exchange": {"dtype": "int8"},
            "finetuning": {"tuning": "lora"},
            "lora": {"rank": 2, "aggregation": "reprojection"},
        },
    ],
    ids=["full", "lora"],
)
def test_the_model_that_is_kept_is_the_one_that_sites_evaluated(
    make_study: Any, hospitals: Any, run_study_in_process: Any, tmp_path: Path, changes: Any
) -> None:
    """Bit for bit, with what rounds folded into the base."""
    study = make_study(pretraining={"rounds": 1}, **changes)
    run = run_study_in_process(study, hospitals.sites, tmp_path)
    kept = {name: array.tobytes() for name, array in run.latest_weights.items()}
    for sent in (m for m in run.messages if (m.phase, m.direction) == ("evaluation", "down")):
        received = decode(sent.payload.tensors["model"])
        if study.finetuning.tuning == "lora":
            digest = sent.payload.text("work", "base_digest")
            site = hospitals.sites[sent.node].name
            received |= load_file(run.work / site / "base" / f"{digest}.safetensors")
        assert {name: array.tobytes() for name, array in received.items()} == kept
