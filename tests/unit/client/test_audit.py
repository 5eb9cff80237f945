"""The audit file: every change in it shows, crashes and several writers do not."""

import json
import multiprocessing
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedehr_client.audit.log import Audit
from fedehr_client.chained_file import NO_LINE
from fedehr_shared.errors import DataError


def _filled(folder: Path, num_lines: int) -> Audit:
    audit = Audit(folder / "work" / "audit.jsonl")
    for number in range(num_lines):
        audit.append("erase", {"num_subjects": number, "note": "x" * (number * 700)})
    return audit


def test_lines_say_what_happened_and_are_chained(tmp_path: Path) -> None:
    audit = _filled(tmp_path, 9)
    lines = [json.loads(line) for line in audit.file.read_text().splitlines()]
    assert [line["num_subjects"] for line in lines] == list(range(9))
    assert lines[0]["previous"] == NO_LINE
    assert len({line["previous"] for line in lines}) == 9
    state = audit.verify()
    assert (state.num_lines, state.num_torn) == (9, 0)
    audit.append("erase", {})
    assert json.loads(audit.file.read_text().splitlines()[-1])["previous"] == state.last_hash
    assert stat.S_IMODE(audit.file.stat().st_mode) == 0o600


def test_no_file_is_an_empty_chain(tmp_path: Path) -> None:
    assert Audit(tmp_path / "none.jsonl").verify().last_hash == NO_LINE


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("how", ["change", "remove", "repeat", "swap"])
def test_tampering_is_named(tmp_path: Path, number: int, how: str) -> None:
    audit = _filled(tmp_path, 6)
    lines = audit.file.read_bytes().splitlines(keepends=True)
    if how == "change":
        lines[number] = lines[number].replace(b'"erase"', b'"other"')
    elif how == "remove":
        del lines[number]
    elif how == "repeat":
        lines.insert(number, lines[number])
    else:
        lines[number], lines[number + 1] = lines[number + 1], lines[number]
    audit.file.write_bytes(b"".join(lines))
    with pytest.raises(DataError, match=r"line [1-6] of .* does not follow"):
        audit.verify()


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(1, 3_000))
def test_a_torn_line_stays_and_the_chain_goes_on(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    audit = _filled(tmp_path_factory.mktemp("audit"), 5)
    whole = audit.file.read_bytes()
    last = len(whole) - whole.rstrip(b"\n").rfind(b"\n") - 1
    audit.file.write_bytes(whole[: -min(cut, last)])
    audit.append("erase", {"num_subjects": 77})
    state = audit.verify()
    kept = cut == 1  # only the end of the line was lost
    assert state.num_lines == (6 if kept else 5)
    assert state.num_torn == (0 if kept or cut >= last else 1)
    assert json.loads(audit.file.read_bytes().splitlines()[-1])["num_subjects"] == 77


def test_garbage_in_place_of_a_line_is_found(tmp_path: Path) -> None:
    audit = _filled(tmp_path, 4)
    lines = audit.file.read_bytes().splitlines(keepends=True)
    lines[1] = b"[[" * 50_000 + b"\n"
    audit.file.write_bytes(b"".join(lines))
    with pytest.raises(DataError, match="line 3 "):
        audit.verify()


def _append_many(file: Path, writer: int) -> None:
    for number in range(20):
        Audit(file).append("erase", {"writer": writer, "number": number})


def test_writers_in_several_processes_wait_for_one_another(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=_append_many, args=(file, number)) for number in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert Audit(file).verify().num_lines == 60


def test_facts_may_not_stand_in_for_the_chain(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="previous"):
        Audit(tmp_path / "audit.jsonl").append("erase", {"previous": NO_LINE})
    with pytest.raises(DataError, match="cannot write the audit"):
        Audit(Path("/proc/none/audit.jsonl")).append("erase", {})
