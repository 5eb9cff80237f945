"""Checkpoints come back bit for bit, or are refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from fedehr_server.checkpoint import CheckpointFolder, load_weights
from fedehr_server.phases.model_state import ModelState
from fedehr_shared.errors import CheckpointError
from fedehr_shared.wire.work import WorkId

STATE = ModelState(
    {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.asarray([0.1], np.float32)},
    {"w.first": np.ones((2, 3), np.float32)},
)


def _save(folder: Path, number: int = 1, phase: str = "pretraining") -> Path:
    work = WorkId("digest", phase, number, 1)  # type: ignore[arg-type]
    return CheckpointFolder(folder).save(work, STATE, "vocabulary")


def test_weights_come_back_bit_for_bit(tmp_path: Path) -> None:
    checkpoint = _save(tmp_path / "checkpoints")
    weights = load_weights(checkpoint)
    assert {n: a.tobytes() for n, a in weights.items()} == {
        n: a.tobytes() for n, a in STATE.weights.items()
    }
    assert set(load_file(checkpoint / "moments.safetensors")) == {"w.first"}
    manifest = json.loads((checkpoint / "manifest.json").read_text())
    assert (manifest["phase"], manifest["round"]) == ("pretraining", 1)
    assert manifest["study_digest"] == "digest"
    assert manifest["vocabulary_digest"] == "vocabulary"


def test_the_order_of_memory_changes_no_bit(tmp_path: Path) -> None:
    turned = ModelState({"w": np.asfortranarray(STATE.weights["w"])})
    work = WorkId("digest", "finetuning", 1, 1)
    checkpoint = CheckpointFolder(tmp_path / "checkpoints").save(work, turned, "vocabulary")
    assert load_weights(checkpoint)["w"].tolist() == STATE.weights["w"].tolist()
    assert not (checkpoint / "moments.safetensors").exists()


@pytest.mark.parametrize("fault", ["bit", "cut", "gone", "no manifest", "manifest", "list", "hash"])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, fault: str) -> None:
    checkpoint = _save(tmp_path / "checkpoints")
    model, manifest = checkpoint / "model.safetensors", checkpoint / "manifest.json"
    content = bytearray(model.read_bytes())
    if fault == "bit":
        content[-1] ^= 1
        model.write_bytes(content)
    elif fault == "cut":
        model.write_bytes(content[:-4])
    elif fault == "gone":
        model.unlink()
    elif fault == "no manifest":
        manifest.unlink()
    else:
        manifest.write_text({"manifest": "{", "list": "[]", "hash": "{}"}[fault])
    with pytest.raises(CheckpointError):
        load_weights(checkpoint)


def test_the_latest_two_of_each_phase_are_kept(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    for number in (1, 2, 9, 10):
        _save(folder, number)
    _save(folder, 1, "finetuning")
    kept = sorted(f.name for f in folder.iterdir())
    assert kept == ["finetuning-0001", "pretraining-0009", "pretraining-0010"]
    assert CheckpointFolder(folder).latest("pretraining").name == "pretraining-0010"
    with pytest.raises(CheckpointError):
        CheckpointFolder(folder).latest("evaluation")


def test_saving_a_round_again_replaces_it_and_leaves_nothing_partial(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    _save(folder)
    again = _save(folder)
    assert [f.name for f in folder.iterdir()] == [again.name]
    assert load_weights(again)["w"].tolist() == STATE.weights["w"].tolist()
