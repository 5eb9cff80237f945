"""Where the audit ends is known: what was cut, edited or moved is named."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fedehr_client.audit.head import AuditHead
from fedehr_client.audit.log import Audit
from fedehr_client.audit.verification import verify_audit
from fedehr_client.chained_file import NO_LINE, next_line
from fedehr_shared.errors import DataError


def _filled(folder: Path, num_lines: int = 6) -> Audit:
    audit = Audit(folder / "audit.jsonl")
    for number in range(num_lines):
        audit.append("round", {"number": number})
    return audit


def _lines(audit: Audit) -> list[bytes]:
    return audit.file.read_bytes().splitlines(keepends=True)


def test_a_whole_audit_and_its_head_say_the_same(tmp_path: Path) -> None:
    audit = _filled(tmp_path)
    told = verify_audit(audit)
    assert told["num_lines"] == 6
    assert AuditHead.read(audit.head_file) == AuditHead(6, str(told["last_hash"]))
    assert verify_audit(Audit(tmp_path / "none.jsonl"))["num_lines"] == 0


@pytest.mark.parametrize("num_cut", [1, 3, 6])
def test_a_cut_end_is_noticed_then_and_later(tmp_path: Path, num_cut: int) -> None:
    audit = _filled(tmp_path)
    audit.file.write_bytes(b"".join(_lines(audit)[:-num_cut]))
    with pytest.raises(DataError, match=rf"had 6 lines and has {6 - num_cut}.*after line"):
        verify_audit(audit)
    for number in range(8):
        audit.append("later", {"number": number})
    with pytest.raises(DataError, match=f"cut off before line {7 - num_cut}"):
        verify_audit(audit)


def test_an_emptied_or_removed_audit_is_noticed(tmp_path: Path) -> None:
    audit = _filled(tmp_path)
    audit.file.write_bytes(b"")
    with pytest.raises(DataError, match="had 6 lines and has 0"):
        verify_audit(audit)
    audit.file.unlink()
    with pytest.raises(DataError, match="had 6 lines and has 0"):
        verify_audit(audit)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda lines: [lines[0].replace(b'"round"', b'"other"'), *lines[1:]], "line 2 "),
        (lambda lines: [*lines[:2], *lines[3:]], "line 3 "),
        (lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], "line 2 "),
        (lambda lines: [*lines[:-1], lines[-1].replace(b'"round"', b'"other"')], "at its end"),
        (lambda lines: [*lines[:-1], b"[[[\n"], "after line 5"),
        (lambda lines: [*lines, lines[0]], "line 7 "),
    ],
)
def test_a_changed_line_is_named(
    tmp_path: Path, change: Callable[[list[bytes]], list[bytes]], named: str
) -> None:
    audit = _filled(tmp_path)
    audit.file.write_bytes(b"".join(change(_lines(audit))))
    with pytest.raises(DataError, match=named):
        verify_audit(audit)


def test_an_audit_written_anew_does_not_hold_the_hash_noted_down(tmp_path: Path) -> None:
    audit = _filled(tmp_path)
    noted = str(verify_audit(audit)["last_hash"])
    audit.append("later", {})
    assert verify_audit(audit, expect=noted)["num_lines"] == 7
    audit.file.unlink()
    audit.head_file.unlink()
    _filled(tmp_path, 7)
    with pytest.raises(DataError, match="written anew"):
        verify_audit(audit, expect=noted)


def test_a_missing_head_is_a_fault_that_stays(tmp_path: Path) -> None:
    audit = _filled(tmp_path)
    audit.head_file.unlink()
    with pytest.raises(DataError, match="is missing"):
        verify_audit(audit)
    audit.append("later", {})
    with pytest.raises(DataError, match="before line 7"):
        verify_audit(audit)
    audit.head_file.write_text("[]")
    with pytest.raises(DataError, match="damaged"):
        verify_audit(audit)


def test_a_crash_between_line_and_head_is_no_fault(tmp_path: Path) -> None:
    audit = _filled(tmp_path)
    last = AuditHead.read(audit.head_file)
    assert last is not None
    line = next_line({"time": "2026-01-01", "event": "round"}, last.last_hash)
    with audit.file.open("ab") as stream:
        stream.write(line + b"\n")
    assert verify_audit(audit)["num_lines"] == 7
    audit.append("later", {})
    assert verify_audit(audit)["num_lines"] == 8
    with audit.file.open("ab") as stream:
        stream.write(b'{"time": "2026-01-')  # torn: no line, and no fault
    assert verify_audit(audit)["num_torn"] == 1
    audit.append("later", {})
    assert verify_audit(audit)["num_lines"] == 9
    assert json.loads(_lines(audit)[0])["previous"] == NO_LINE
