"""Logs stay within bounds while their process writes on, and can be followed meanwhile."""

import logging
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fedehr_client.engine.supernode import is_broken, is_connected
from fedehr_client.node.folder import NodeFolder
from fedehr_client.supervision.log_files import LogFile, log_file
from fedehr_client.supervision.log_reader import last_lines
from fedehr_client.supervision.log_tail import LogTail
from fedehr_client.supervision.node_log import LOGGER, node_log
from fedehr_shared.errors import UsageError

WRITE = """
import time
for number in range(100000):
    print("line", number, flush=True)
    time.sleep(0.0005)
"""


def test_a_log_is_cut_under_a_process_that_goes_on_writing(tmp_path: Path) -> None:
    path = tmp_path / "supernode.log"
    log = LogFile(path, most_bytes=2_000, num_kept=3)
    assert not log.rotate(), "there is none yet"
    with path.open("ab") as stream:
        writer = subprocess.Popen([sys.executable, "-c", WRITE], stdout=stream)
    try:
        num_rotated = 0
        deadline = time.monotonic() + 20
        while num_rotated < 6:
            assert time.monotonic() < deadline
            num_rotated += log.rotate()
            time.sleep(0.02)
    finally:
        writer.kill()
        writer.wait()
    parts = sorted(tmp_path.iterdir())
    assert [part.name for part in parts] == [
        "supernode.log", "supernode.log.1", "supernode.log.2", "supernode.log.3",
    ]  # fmt: skip
    assert b"\0" not in path.read_bytes(), "the writer appends: no hole before its next line"
    numbers = [
        int(number)
        for part in (*reversed(parts[1:]), path)
        for number in re.findall(rb"line (\d+)\n", part.read_bytes())
    ]
    assert numbers == sorted(numbers)
    assert all(part.stat().st_mode & 0o077 == 0 for part in parts[1:])


def test_a_log_that_cannot_be_kept_is_not_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "worker.log"
    path.write_bytes(b"x" * 3_000)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfileobj", full)
    with pytest.raises(OSError, match="No space"):
        LogFile(path, most_bytes=2_000).rotate()
    assert path.stat().st_size == 3_000
    assert [file.name for file in tmp_path.iterdir()] == ["worker.log"]


def test_a_tail_reads_what_is_added_and_begins_again_after_a_cut(tmp_path: Path) -> None:
    file = tmp_path / "log"
    early = LogTail(file)
    assert early.read() == ""
    file.write_text("old\n")
    tail = LogTail(file)
    assert early.read() == "old\n"
    with file.open("a") as stream:
        stream.write("new\n")
    assert (tail.read(), tail.read()) == ("new\n", "")
    file.write_text("cut\n")
    assert tail.read() == "cut\n"
    file.unlink()
    assert tail.read() == ""


def test_the_nodes_log_has_utc_times_and_one_line_a_record(tmp_path: Path) -> None:
    file = tmp_path / "logs" / "node.log"
    with node_log(file, also_standard_error=False):
        logging.getLogger(f"{LOGGER}.anything").warning("two\nlines")
        logging.getLogger(f"{LOGGER}.anything").debug("not this")
    logging.getLogger(f"{LOGGER}.anything").warning("nor this")
    line = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z WARNING two\\nlines\n"
    assert re.fullmatch(line, file.read_text())
    assert file.stat().st_mode & 0o077 == 0


def test_an_unknown_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="supernode"):
        log_file(NodeFolder(tmp_path), "../../etc/passwd")
    assert last_lines(LogTail(log_file(NodeFolder(tmp_path), "child")), 5) == []


ERROR = "\x1b[91mERROR \x1b[0m:     "


@pytest.mark.parametrize(
    ("output", "broken"),
    [
        (f"{ERROR} Cannot get processing duration: Message ID 12 not found.\n", False),
        (f"{ERROR} [/v1/runtime/push-messages][ApiError:1008] an error ended a thread:\n", False),
        (f"{ERROR} an error ended a thread: Traceback | RuntimeError", True),
        ("Exception in thread Thread-3 (_run):\n", False),
        ("ERROR :      x\n", False),
        (f"{ERROR} Failed to send message 12: the line broke", False),
        (f"{ERROR} Failed to receive message 12: the line broke", False),
        (f"{ERROR} SSL/TLS handshake error detected.\n", False),
        ("ERROR:    Exception in ASGI application\n", False),
        ("\x1b[92mINFO \x1b[0m:      Received successfully\n", False),
    ],
)
def test_only_what_ends_a_thread_of_the_engines_counts_as_broken(output: str, broken: bool) -> None:
    assert is_broken(output) is broken


def test_the_last_word_about_the_connection_counts() -> None:
    lost = "\x1b[93mWARNING \x1b[0m:   Connection attempt failed, retrying in 2.00 seconds\n"
    found = "\x1b[92mINFO \x1b[0m:      Connection successful after 3.00 seconds and 2 tries.\n"
    for before in (True, False):
        assert is_connected("INFO : Sent\n", before) is before
        assert is_connected(found + lost, before) is False
        assert is_connected(lost + found, before) is True
