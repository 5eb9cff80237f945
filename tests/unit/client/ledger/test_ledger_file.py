"""The ledger on the disk: crashes lose nothing, changes show, wrong numbers are refused."""

import json
import multiprocessing
import os
import resource
import signal
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedehr_client.chained_file import NO_LINE, next_line, parse_line
from fedehr_client.ledger.ceiling import Ceiling
from fedehr_client.ledger.entry import Reserved
from fedehr_client.ledger.ledger import Ledger
from fedehr_shared.errors import DataError
from fedehr_shared.privacy.gaussian import gaussian_multiplier
from fedehr_shared.privacy.noisy_steps import NoisySteps


def _privacy(tmp_path: Path) -> Path:
    return tmp_path / "work" / "privacy"


def _lines(tmp_path: Path) -> list[bytes]:
    return (_privacy(tmp_path) / "ledger.jsonl").read_bytes().splitlines(keepends=True)


def _rewrite(tmp_path: Path, lines: list[bytes]) -> None:
    (_privacy(tmp_path) / "ledger.jsonl").write_bytes(b"".join(lines))


def _charges(ledger: Ledger) -> list[tuple[str, int]]:
    return [(e.phase, e.round) for e in ledger.entries() if isinstance(e, Reserved)]


def test_everything_is_the_owner_s_alone(charged: Any, tmp_path: Path) -> None:
    charged()
    for path in [_privacy(tmp_path), *_privacy(tmp_path).rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


@settings(max_examples=40, deadline=None)
@given(kept=st.integers(0, 400))
def test_a_line_cut_short_anywhere_still_counts(
    kept: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A crash or a full disk while the last line was being added to the ledger."""
    work = tmp_path_factory.mktemp("cut")
    file, study = work / "privacy" / "ledger.jsonl", _plain_study()
    ledger = Ledger(work, Ceiling(), "north")
    for charge in _charges_of(study)[:3]:
        ledger.reserve(study, charge)
    whole = ledger.entries()
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:-1]) + lines[-1][:kept])
    assert ledger.entries() == whole
    ledger.reserve(study, _charges_of(study)[3])
    assert ledger.entries()[:-1] == whole
    assert len(ledger.entries()) == len(whole) + 1


@pytest.mark.parametrize("rubbish", [b"\0" * 300, b"[[" * 50_000, b'{"id": 1}', b"\xff\n\n{"])
def test_what_a_crash_left_in_place_of_a_line_hides_no_other(
    rubbish: bytes, charged: Any, tmp_path: Path
) -> None:
    before = charged(3).entries()
    _rewrite(tmp_path, [*_lines(tmp_path)[:-1], rubbish])
    ledger = charged(1)
    assert ledger.entries()[:-1] == before
    assert _charges(ledger)[-1] == ("vocabulary", 1)


@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize("how", ["edit", "remove", "repeat", "swap", "cut"])
def test_every_change_shows_and_nothing_is_charged_beside_it(
    how: str, number: int, charged: Any, tmp_path: Path
) -> None:
    charged(5)
    lines = _lines(tmp_path)
    if how == "edit":
        lines[number] = lines[number].replace(b'"site": "north"', b'"site": "south"')
        lines[number] = lines[number].replace(b'"num_steps": ', b'"num_steps": 1')
    elif how == "remove":
        del lines[number]
    elif how == "repeat":
        lines.insert(number, lines[number])
    elif how == "cut":
        del lines[number:]
    else:
        lines[number], lines[number + 1] = lines[number + 1], lines[number]
    _rewrite(tmp_path, lines)
    with pytest.raises(DataError, match=r"does not (follow|end)"):
        Ledger(tmp_path / "work", Ceiling(), "north").spent()
    with pytest.raises(DataError, match=r"does not (follow|end)"):
        charged(1)
    assert _lines(tmp_path) == lines


def test_the_last_line_edited_shows_too(charged: Any, tmp_path: Path) -> None:
    charged(3)
    lines = _lines(tmp_path)
    changed = lines[-1].replace(b'"num_steps": 3', b'"num_steps": 1')
    assert changed != lines[-1]
    _rewrite(tmp_path, [*lines[:-1], changed])
    with pytest.raises(DataError, match="does not end with the lines"):
        charged(1)


@pytest.mark.parametrize("gone", ["ledger.jsonl", "ledger.last"])
def test_a_file_that_is_gone_is_missed(gone: str, charged: Any, tmp_path: Path) -> None:
    charged(3)
    (_privacy(tmp_path) / gone).unlink()
    with pytest.raises(DataError, match=r"does not end|is gone"):
        Ledger(tmp_path / "work", Ceiling(), "north").history()
    with pytest.raises(DataError, match=r"does not end|is gone"):
        charged(1)


def test_a_ledger_that_is_gone_whole_is_missed_where_its_studies_are_left(
    charged: Any, tmp_path: Path
) -> None:
    charged(2)
    for name in ("ledger.jsonl", "ledger.last"):
        (_privacy(tmp_path) / name).unlink()
    with pytest.raises(DataError, match="is gone"):
        charged(1)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("noise_multiplier", "NaN"), ("noise_multiplier", "-1.0"), ("noise_multiplier", "0.0"),
        ("noise_multiplier", "1e300"), ("noise_multiplier", "Infinity"),
        ("noise_multiplier", '"1.0"'), ("sample_rate", "0.0"), ("sample_rate", "1.5"),
        ("num_steps", "0"), ("num_steps", "-5"), ("num_steps", "true"), ("num_steps", "1e9"),
        ("num_steps", "99999999999999999999"), ("naming_delta", "-1e-7"), ("delta", "NaN"),
        ("round", "null"), ("event", '"gift"'), ("study", '"abc"'), ("extra", "1"),
    ],
)  # fmt: skip
def test_a_wrong_number_is_refused_though_the_chain_fits(
    key: str, value: str, charged: Any, tmp_path: Path
) -> None:
    """As if the ledger had been written anew by hand, chain and all."""
    charged(2)
    privacy, previous, lines = _privacy(tmp_path), NO_LINE, []
    for number, text in enumerate(_lines(tmp_path)):
        content = {k: v for k, v in json.loads(text).items() if k != "previous"}
        if number == 2:
            content[key] = "HERE"
        line = next_line(content, previous).replace(b'"HERE"', value.encode())
        lines.append(line + b"\n")
        previous = parse_line(0, line).digest
    _rewrite(tmp_path, lines)
    (privacy / "ledger.last").write_bytes(lines[-1])
    with pytest.raises(DataError, match=r"line 3 of the ledger: .* wrong"):
        charged(1)


def test_a_clock_set_back_changes_nothing(
    charged: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = charged(3).spent()
    monkeypatch.setattr("fedehr_client.ledger.ledger.now", lambda: "1970-01-01T00:00:00+00:00")
    ledger = charged(4)
    assert len(_charges(ledger)) == 7
    assert ledger.spent() > before


@pytest.mark.skipif(os.geteuid() == 0, reason="the administrator may write everywhere")
def test_a_read_only_folder_is_refused_and_can_be_read(charged: Any, tmp_path: Path) -> None:
    spent = charged(3).spent()
    _make_read_only(_privacy(tmp_path))
    with pytest.raises(DataError, match="nothing was trained or sent"):
        charged(1)
    assert Ledger(tmp_path / "work", Ceiling(), "north").spent() == spent


def _make_read_only(folder: Path) -> None:
    folder.chmod(0o500)
    (folder / "ledger.jsonl").chmod(0o400)


def test_a_folder_that_cannot_be_made_is_refused(charged: Any, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    _privacy(tmp_path).write_text("in the way")
    with pytest.raises(DataError, match="the account of privacy"):
        charged(1)


def _reserve_with_room(work: Path, num_bytes: int) -> None:
    """In a process of its own, in which no file may grow beyond `num_bytes`."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, num_bytes))
    study = _plain_study()
    try:
        Ledger(work, Ceiling(), "north").reserve(study, _charges_of(study)[0])
    except DataError as error:
        raise SystemExit(0 if "nothing was trained or sent" in str(error) else 3) from error
    raise SystemExit(4)


@pytest.mark.parametrize("room", [0, 20])
def test_a_full_disk_trains_nothing_and_charges_at_most_once(
    room: int, charged: Any, tmp_path: Path
) -> None:
    ledger = charged(4)
    file = _privacy(tmp_path) / "ledger.jsonl"
    most = file.stat().st_size + room if room else 0
    for _ in range(2):
        child = multiprocessing.get_context("spawn").Process(
            target=_reserve_with_room, args=(tmp_path / "work", most)
        )
        child.start()
        child.join()
        assert child.exitcode == 0
    # With room for some of the line it was announced, and counts; without any it was not.
    assert len(_charges(ledger)) == (5 if room else 4)
    charged(1)
    assert len(_charges(ledger)) == (6 if room else 5)


OLD = {
    "time": "2026-11-23T01:00:00.000+00:00",
    "study": "a" * 64,
    "phase": "vocabulary",
    "mechanism": "gaussian",
    "subject_epsilon": 2.0,
    "delta": 1e-6,
    "sigma": 75.5,
    "neighbors": "add_or_remove_one",
    "records": "b" * 64,
}


def _write_old(tmp_path: Path, *lines: str) -> None:
    _privacy(tmp_path).mkdir(parents=True)
    (_privacy(tmp_path) / "spent.jsonl").write_text("".join(line + "\n" for line in lines))


def test_what_earlier_versions_charged_counts_once(charged: Any, tmp_path: Path) -> None:
    old = json.dumps(OLD)
    _write_old(tmp_path, old, old, json.dumps(OLD | {"subject_epsilon": 1.0}))
    ledger = Ledger(tmp_path / "work", Ceiling(), "north")
    steps = [NoisySteps(gaussian_multiplier(e, 5e-7), 1.0, n) for e, n in ((2.0, 2), (1.0, 1))]
    assert ledger.history() == tuple(sorted(steps))
    before = ledger.spent()
    assert before > 2
    assert charged(0).history() == tuple(sorted(steps))
    charged(1)
    assert _charges(ledger) == [("vocabulary", 1)] * 4
    # Once taken over, they stay whatever becomes of the old file.
    (_privacy(tmp_path) / "spent.jsonl").unlink()
    assert _charges(ledger) == [("vocabulary", 1)] * 4


@pytest.mark.parametrize(
    "line",
    [
        '{"time": "2026-', "[]", json.dumps(OLD | {"mechanism": "laplace"}),
        json.dumps(OLD | {"subject_epsilon": float("nan")}), json.dumps(OLD | {"delta": 0}),
        json.dumps(OLD | {"subject_epsilon": -1}), json.dumps(OLD | {"subject_epsilon": 10**400}),
        json.dumps({k: v for k, v in OLD.items() if k != "study"}),
    ],
)  # fmt: skip
def test_a_charge_of_earlier_versions_that_cannot_be_read_is_refused_by_name(
    line: str, charged: Any, tmp_path: Path
) -> None:
    _write_old(tmp_path, json.dumps(OLD), line)
    with pytest.raises(DataError, match=r"line 2 of .*spent.jsonl"):
        charged(1)
    with pytest.raises(DataError, match=r"line 2 of .*spent.jsonl"):
        Ledger(tmp_path / "work", Ceiling(), "north").spent()


def _plain_study() -> Any:
    from fedehr_shared.config.study import StudyConfig

    return StudyConfig(
        name="noisy",
        finetuning={"tasks": ["death"], "rounds": 9},
        privacy={"mechanism": "local", "noise_multiplier": 1.0, "target_delta": 1e-5},
    )


def _charges_of(study: Any) -> Any:
    from fedehr_client.ledger.charge import planned_charges

    return planned_charges(study)
