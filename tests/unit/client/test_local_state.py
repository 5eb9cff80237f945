"""State kept at a site: private, whole or absent, of the rounds that may be asked for."""

import logging
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from fedehr_client.erasure.caches import find_caches, remove_caches
from fedehr_client.training.local_state import FOLDER_NAME, LocalState, forget_study
from fedehr_shared.errors import DataError

STUDY, VOCABULARY = "a" * 64, "b" * 64


def _state(work: Path, study: str = STUDY, phase: str = "pretraining") -> LocalState:
    return LocalState(work, study, phase, VOCABULARY)


def _tensors(fill: float) -> dict[str, torch.Tensor]:
    return {"w": torch.full((2, 3), fill), "w.step": torch.tensor(fill)}


def _files(work: Path) -> list[str]:
    folder = work / FOLDER_NAME
    return sorted(str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file())


def _value(tensors: dict[str, torch.Tensor] | None) -> float | None:
    return None if tensors is None else float(tensors["w"][0, 0])


def test_a_round_starts_from_the_newest_earlier_state(tmp_path: Path) -> None:
    state = _state(tmp_path)
    assert state.before(1) is None
    for number in (1, 2, 5):
        state.keep(number, _tensors(number))
    kept = state.before(6)
    assert kept is not None
    assert all(torch.equal(kept[name], value) for name, value in _tensors(5.0).items())
    # Round 5 asked for again: as before it, though its own state is there by now.
    assert _value(state.before(5)) == 2.0
    # A site that missed rounds goes on with what it has.
    assert _value(state.before(9)) == 5.0
    assert _value(_state(tmp_path, phase="finetuning").before(6)) is None
    assert _value(_state(tmp_path, study="c" * 64).before(6)) is None


def test_no_more_is_kept_than_may_be_asked_for(tmp_path: Path) -> None:
    state = _state(tmp_path)
    for number in (1, 2, 3, 4):
        state.keep(number, _tensors(number))
    assert _files(tmp_path) == [f"{STUDY}/pretraining-0000{n}.safetensors" for n in (3, 4)]
    # The study is run again from its start: what a run that was broken off left is of no use.
    state.keep(1, _tensors(10.0))
    assert _files(tmp_path) == [f"{STUDY}/pretraining-00001.safetensors"]
    _state(tmp_path, phase="finetuning").keep(1, _tensors(1.0))
    assert _files(tmp_path) == [f"{STUDY}/finetuning-00001.safetensors"]


def test_studies_that_never_ended_do_not_pile_up(tmp_path: Path) -> None:
    for number in range(9):
        _state(tmp_path, study=f"{number:064d}").keep(1, _tensors(1.0))
        folder = tmp_path / FOLDER_NAME / f"{number:064d}"
        os.utime(folder, (number + 1, number + 1))
    kept = {file.split("/")[0] for file in _files(tmp_path)}
    assert f"{8:064d}" in kept
    assert len(kept) == 4
    forget_study(tmp_path, f"{8:064d}")
    assert len(_files(tmp_path)) == 3
    forget_study(tmp_path, "never begun")


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    _state(tmp_path).keep(1, _tensors(1.0))
    (file,) = (tmp_path / FOLDER_NAME).rglob("*.safetensors")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(file.parent.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("fault", ["cut", "empty", "bit", "text", "folder"])
def test_a_damaged_state_is_told_and_the_round_starts_afresh(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    state = _state(tmp_path)
    state.keep(1, _tensors(1.0))
    state.keep(2, _tensors(2.0))
    file = tmp_path / FOLDER_NAME / STUDY / "pretraining-00002.safetensors"
    content = file.read_bytes()
    turned = content[:-5] + bytes([content[-5] ^ 4]) + content[-4:]
    changed = {"cut": content[:-7], "empty": b"", "bit": turned, "text": b"{}" * 40}
    file.unlink()
    if fault == "folder":
        file.mkdir()
    else:
        file.write_bytes(changed[fault])
    with caplog.at_level(logging.WARNING, "fedehr.client"):
        assert state.before(3) is None
    assert "round 3 of pretraining starts afresh" in caplog.text
    assert str(file) in caplog.text


def test_a_lost_state_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "fedehr.client"):
        assert _state(tmp_path).before(1) is None
        assert caplog.text == ""
        assert _state(tmp_path).before(4) is None
    assert "before round 4" in caplog.text


def test_a_state_of_another_vocabulary_is_not_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _state(tmp_path).keep(1, _tensors(1.0))
    other = LocalState(tmp_path, STUDY, "pretraining", "c" * 64)
    with caplog.at_level(logging.WARNING, "fedehr.client"):
        assert other.before(2) is None
    assert "another vocabulary" in caplog.text


def test_a_kill_while_writing_leaves_the_state_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = _state(tmp_path)
    state.keep(1, _tensors(1.0))

    def die(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", die)
        with pytest.raises(KeyboardInterrupt):
            state.keep(2, _tensors(2.0))
    assert _value(state.before(3)) == 1.0
    assert _files(tmp_path) == [f"{STUDY}/pretraining-00001.safetensors"]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_what_a_killed_process_left_half_written_is_in_nobody_s_way(
    tmp_path: Path, number: int
) -> None:
    """In a container the process that comes next has the same number."""
    state = _state(tmp_path)
    state.keep(1, _tensors(1.0))
    for folder in (STUDY, "c" * 64):
        for middle in ("partial", str(os.getpid())):
            left = (
                tmp_path / FOLDER_NAME / folder / f".pretraining-0000{number}.{middle}.safetensors"
            )
            left.parent.mkdir(exist_ok=True)
            left.write_bytes(b"half")
    state.keep(number, _tensors(7.0))
    assert _value(state.before(number + 1)) == 7.0
    assert not [file for file in _files(tmp_path) if "/." in file]


def test_two_processes_of_one_site_may_keep_at_once(tmp_path: Path) -> None:
    def keep() -> None:
        for number in range(1, 40):
            _state(tmp_path, study=f"{number % 7:064d}").keep(number % 3 + 1, _tensors(1.0))

    with ThreadPoolExecutor(2) as both:
        for done in [both.submit(keep) for _ in range(2)]:
            done.result()
    assert len({file.split("/")[0] for file in _files(tmp_path)}) == 4


def test_a_disk_that_takes_nothing_is_told(tmp_path: Path) -> None:
    (tmp_path / FOLDER_NAME).write_text("in the way")
    with pytest.raises(DataError, match="cannot keep"):
        _state(tmp_path).keep(1, _tensors(1.0))


def test_an_erasure_takes_it_too(tmp_path: Path) -> None:
    """Moments are sums over subjects, and a private bias counts their codes."""
    _state(tmp_path).keep(1, _tensors(1.0))
    (kept,) = find_caches(tmp_path)
    assert load_file(kept)["w"].shape == (2, 3)
    remove_caches(tmp_path)
    assert _files(tmp_path) == []
