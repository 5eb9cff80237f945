"""Backups of the ledger: restoring one never takes anything back."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedehr_client.ledger.backup import read_backup, restore_backup, write_backup
from fedehr_client.ledger.ceiling import Ceiling
from fedehr_client.ledger.charge import planned_charges
from fedehr_client.ledger.ledger import Ledger
from fedehr_client.ledger.ledger_file import LedgerFile
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import DataError, UsageError


def _spent(work: Path) -> float:
    return Ledger(work, Ceiling(), "north").spent()


def test_an_older_backup_lowers_nothing(charged: Any, tmp_path: Path) -> None:
    work, old = tmp_path / "work", tmp_path / "old"
    charged(2)
    file = LedgerFile(work, "north")
    assert write_backup(file, old) == 3
    later = charged(4).entries()
    assert restore_backup(file, old) == 0
    assert file.read() == later
    assert old.stat().st_mode & 0o077 == 0


def test_a_lost_ledger_comes_back_and_what_was_charged_since_stays(
    charged: Any, tmp_path: Path
) -> None:
    saved = tmp_path / "saved"
    before = charged(4)
    write_backup(LedgerFile(tmp_path / "work", "north"), saved)
    spent = before.spent()
    anew = tmp_path / "anew"
    fresh = charged(1, work=anew)
    restored = LedgerFile(anew, "north")
    assert restore_backup(restored, saved) == 5
    assert {entry.id for entry in restored.read()} >= {entry.id for entry in before.entries()}
    assert fresh.spent() > spent
    # Again: the union is the same, and the chain holds.
    assert restore_backup(restored, saved) == 0


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_restoring_is_the_union_in_whatever_order(
    data: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("union")
    study = StudyConfig(
        name="noisy",
        finetuning={"tasks": ["death"], "rounds": 4},
        privacy={"mechanism": "local", "noise_multiplier": 1.0, "target_delta": 1e-5},
    )
    files, ids = [], set()
    for number in range(3):
        work = folder / f"work{number}"
        ledger = Ledger(work, Ceiling(), "north")
        for charge in planned_charges(study)[: data.draw(st.integers(0, 3))]:
            ledger.reserve(study, charge)
        if number and data.draw(st.booleans()):
            restore_backup(LedgerFile(work, "north"), files[0])
        files.append(folder / f"backup{number}")
        write_backup(LedgerFile(work, "north"), files[-1])
        ids |= {entry.id for entry in read_backup(files[-1])}
    target = LedgerFile(folder / "work2", "north")
    own = {entry.id for entry in target.read()}
    for file in data.draw(st.permutations(files)):
        before = _spent(folder / "work2")
        restore_backup(target, file)
        assert _spent(folder / "work2") >= before
    assert {entry.id for entry in target.read()} == ids | own


@pytest.mark.parametrize("how", ["cut", "edit", "header", "empty", "half", "reorder"])
def test_a_damaged_backup_is_refused_whole(how: str, charged: Any, tmp_path: Path) -> None:
    ledger = charged(4)
    file, saved = LedgerFile(tmp_path / "work", "north"), tmp_path / "saved"
    write_backup(file, saved)
    lines = saved.read_bytes().splitlines(keepends=True)
    changed = {
        "cut": lines[:-1],
        "edit": [*lines[:2], lines[2].replace(b'"round": 1', b'"round": 2'), *lines[3:]],
        "header": [b"{}\n", *lines[1:]],
        "empty": [],
        "half": [*lines[:-1], lines[-1][:40]],
        "reorder": [lines[0], *reversed(lines[1:])],
    }[how]
    assert changed != lines
    saved.write_bytes(b"".join(changed))
    before = ledger.entries()
    with pytest.raises(DataError, match="no whole backup"):
        restore_backup(file, saved)
    assert ledger.entries() == before


def test_a_backup_of_another_site_or_history_is_refused(charged: Any, tmp_path: Path) -> None:
    charged(2)
    charged(2, work=tmp_path / "elsewhere", site="south")
    saved, file = tmp_path / "saved", LedgerFile(tmp_path / "work", "north")
    write_backup(LedgerFile(tmp_path / "elsewhere", "south"), saved)
    with pytest.raises(DataError, match="of the site south, and this ledger is of north"):
        restore_backup(file, saved)
    with pytest.raises(UsageError, match="exists"):
        write_backup(file, saved)


def test_an_entry_that_both_hold_and_that_differs_is_refused(charged: Any, tmp_path: Path) -> None:
    charged(2)
    one, saved = tmp_path / "work", tmp_path / "saved"
    write_backup(LedgerFile(one, "north"), saved)
    entries = read_backup(saved)
    lowered = entries[-1].model_copy(update={"num_steps": 1})
    forged = LedgerFile(tmp_path / "forged", "north")
    with forged.opened() as opened:
        opened.add([*entries[:-1], lowered])
    other = tmp_path / "other"
    write_backup(forged, other)
    with pytest.raises(DataError, match="says otherwise"):
        restore_backup(LedgerFile(one, "north"), other)
    assert json.loads(other.read_text().splitlines()[0])["num_lines"] == 4
