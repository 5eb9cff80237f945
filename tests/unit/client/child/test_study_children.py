"""Processes that compute and misbehave: each ends in a clear error, and the next request works."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from fedehr_client.child.config import LimitsConfig
from fedehr_client.child.landlock import Landlock
from fedehr_client.child.study_children import StudyChildren
from fedehr_shared.errors import BusyError, ComputeError
from fedehr_shared.wire.payload import Payload

HERE = Path(__file__).parent
BEHAVING = (sys.executable, str(HERE / "behaving.py"))
STUDY, OTHER = "a" * 64, "b" * 64
CANARY = "canary"
SMALL = LimitsConfig(max_memory_bytes=2**28)
PLAIN = LimitsConfig()


def confines() -> bool:
    """Whether this kernel can keep a process from writing."""
    try:
        return Landlock().version > 0
    except OSError:
        return False


MakeChildren = Callable[..., StudyChildren]


@pytest.fixture
def log_file(tmp_path: Path) -> Path:
    return tmp_path / "child.log"


@pytest.fixture
def make_children(log_file: Path) -> Iterator[MakeChildren]:
    made: list[StudyChildren] = []

    def make(limits: LimitsConfig = PLAIN, program: tuple[str, ...] = BEHAVING) -> StudyChildren:
        site_file, work = Path("site.toml"), log_file.parent / "work"
        made.append(StudyChildren(site_file, work, limits, log_file, program=program))
        return made[-1]

    yield make
    for children in made:
        children.close()


def _never() -> None:
    return None


def _ask(what: str, **more: Any) -> Payload:
    return Payload(values={"ask": {"what": what, **more}})


def _works(children: StudyChildren) -> int:
    request = _ask("echo", number=3)
    assert children.answer(STUDY, request, _never) == request
    return children.pids[STUDY]


def _wait_until(is_so: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _is_gone(pid: int) -> bool:
    """Whether its parent can learn of its end: the first thread may end before the others."""
    try:
        is_zombie = psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        return is_zombie and len(os.listdir(f"/proc/{pid}/task")) == 1
    except (psutil.NoSuchProcess, FileNotFoundError):
        return True


def test_what_comes_back_is_what_was_sent(make_children: MakeChildren) -> None:
    children = make_children()
    values: dict[str, Any] = {"what": "echo", "a": True, "b": 1, "c": 1.0, "d": float("inf")}
    values |= {"e": "\ud800 \u00e9 \0", "f": [], "g": [0.1, 1e300], "h": [1, 2], "i": ["x"]}
    request = Payload({"model": os.urandom(20_000_000), "": b""}, {"ask": values, "none": {}})
    assert children.answer(STUDY, request, _never) == request
    again = children.answer(STUDY, request, _never).values["ask"]
    assert {key: type(value) for key, value in again.items()} == {
        key: type(value) for key, value in values.items()
    }


def test_it_has_given_up_all_that_it_does_not_need(
    make_children: MakeChildren, monkeypatch: pytest.MonkeyPatch, log_file: Path
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user:password@proxy")
    monkeypatch.setenv("SOME_TOKEN", "secret")
    with open(__file__, "rb") as opened:
        os.set_inheritable(opened.fileno(), True)
        children = make_children(LimitsConfig(num_cpus=1))
        seen: Any = children.answer(STUDY, _ask("look"), _never).values["seen"]
    allowed = ("/dev/null", "pipe:", str(log_file))
    assert all(name.startswith(allowed) for name in seen["descriptors"]), seen["descriptors"]
    assert len([name for name in seen["descriptors"] if name.startswith("pipe:")]) == 2
    assert (seen["no_new_privs"], seen["umask"], seen["dumpable"]) == ("1", 0o077, 0)
    assert (seen["core"], seen["oom"], seen["folder"]) == (0, 900, "/")
    assert seen["processors"] == sorted(os.sched_getaffinity(0))[:1]
    assert seen["threads"] == "1"
    assert not {"HTTPS_PROXY", "SOME_TOKEN"} & set(seen["environment"])
    assert "FEDEHR_SITE_FILE" in seen["environment"]
    assert log_file.stat().st_mode & 0o077 == 0
    assert "kept from the network by" in log_file.read_text()
    assert "it can write" in log_file.read_text()
    assert seen["temporary"] == str(log_file.parent / "work" / "temporary")


def test_more_processors_than_there_are_is_all_of_them_and_written_down(
    make_children: MakeChildren, caplog: pytest.LogCaptureFixture
) -> None:
    there = sorted(os.sched_getaffinity(0))
    children = make_children(LimitsConfig(num_cpus=999))
    seen: Any = children.answer(STUDY, _ask("look"), _never).values["seen"]
    assert seen["processors"] == there
    assert seen["threads"] == str(len(there))
    assert f"num_cpus is 999, and there are {len(there)} processors" in caplog.text


def test_what_killed_ones_left_is_removed_with_the_next_start(
    make_children: MakeChildren, tmp_path: Path
) -> None:
    left = tmp_path / "work" / "temporary" / "left"
    left.mkdir(parents=True)
    kept = tmp_path / "work" / "compiled" / "kept"
    kept.mkdir(parents=True)
    _works(make_children())
    assert kept.is_dir()
    assert left.parent.is_dir()
    assert not left.exists()


def test_what_libraries_print_goes_to_the_log(make_children: MakeChildren, log_file: Path) -> None:
    children = make_children()
    first = _works(children)
    children.answer(STUDY, _ask("rubbish"), _never)
    assert _works(children) == first
    assert "more rubbish" in log_file.read_text()


def test_a_warning_is_logged_without_its_text(make_children: MakeChildren, log_file: Path) -> None:
    make_children().answer(STUDY, _ask("warn"), _never)
    assert "UserWarning at" in log_file.read_text()
    assert CANARY not in log_file.read_text()


ENDINGS = {
    "crash": "SIGSEGV",
    "abort": "SIGABRT",
    "leave": "status 7",
    "raise_memory": "by MemoryError",
}


@pytest.mark.parametrize("what", ENDINGS)
def test_one_that_ends_is_told_of_and_the_next_works(
    make_children: MakeChildren, log_file: Path, what: str
) -> None:
    children = make_children()
    first = _works(children)
    with pytest.raises(ComputeError, match=ENDINGS[what]) as caught:
        children.answer(STUDY, _ask(what), _never)
    assert str(log_file) in str(caught.value)
    assert CANARY not in str(caught.value) + log_file.read_text()
    assert _is_gone(first)
    assert _works(children) != first


def test_one_that_is_killed_is_told_of_and_the_next_works(
    make_children: MakeChildren, tmp_path: Path
) -> None:
    children, file = make_children(), tmp_path / "work" / "pid"
    threading.Thread(target=_kill_when_written, args=(file,)).start()
    with pytest.raises(ComputeError, match="SIGKILL"):
        children.answer(STUDY, _ask("hang", file=str(file)), _never)
    _works(children)


def _kill_when_written(file: Path) -> None:
    _wait_until(lambda: file.exists() and bool(file.read_text()))
    os.kill(int(file.read_text()), signal.SIGKILL)


def test_one_that_ended_between_requests_is_replaced(make_children: MakeChildren) -> None:
    children = make_children()
    first = _works(children)
    os.kill(first, signal.SIGKILL)
    _wait_until(lambda: _is_gone(first))
    assert _works(children) != first


@pytest.mark.parametrize("what", ["fill", "fill_elsewhere"])
def test_one_that_takes_too_much_memory_is_ended(make_children: MakeChildren, what: str) -> None:
    children = make_children(SMALL)
    first = _works(children)
    with pytest.raises(ComputeError, match=r"held [\d,]+ bytes of memory, and 268,435,456"):
        children.answer(STUDY, _ask(what), _never)
    assert _is_gone(first)
    _works(children)


@pytest.mark.parametrize("what", ["hang", "hang_with_another"])
def test_one_that_hangs_is_ended_when_the_node_must_stop(
    make_children: MakeChildren, tmp_path: Path, what: str
) -> None:
    children, file = make_children(), tmp_path / "work" / "pid"

    def why_stop() -> str | None:
        return "paused by a person" if file.exists() and file.read_text() else None

    with pytest.raises(BusyError, match="paused by a person"):
        children.answer(STUDY, _ask(what, file=str(file)), why_stop)
    _wait_until(lambda: _is_gone(int(file.read_text())))
    assert children.pids == {}
    _works(children)


def test_one_that_reads_no_request_is_ended_too(make_children: MakeChildren) -> None:
    children = make_children()
    first = _works(children)
    os.kill(first, signal.SIGSTOP)
    began = time.monotonic()

    def why_stop() -> str | None:
        return "paused" if time.monotonic() > began + 1 else None

    with pytest.raises(BusyError):
        children.answer(
            STUDY, Payload({"model": bytes(2**22)}, {"ask": {"what": "echo"}}), why_stop
        )
    assert _is_gone(first)


RUBBISH = {
    "no mark": b"what is this?" * 10,
    "an endless header": b"FDH1" + b"\xff" * 12,
    "no JSON": b"FDH1" + (4).to_bytes(4, "little") + bytes(8) + b"{{{{",
    "another header": b"FDH1" + (2).to_bytes(4, "little") + bytes(8) + b"{}",
    "deep JSON": b"FDH1" + (2**20).to_bytes(4, "little") + bytes(8) + b"[" * 2**20,
}


@pytest.mark.parametrize("name", RUBBISH)
def test_one_that_writes_no_frame_is_ended(make_children: MakeChildren, name: str) -> None:
    children = make_children()
    request = Payload({"raw": RUBBISH[name]}, {"ask": {"what": "write_raw"}})
    with pytest.raises(ComputeError):
        children.answer(STUDY, request, _never)
    _works(children)


def test_one_that_never_ends_its_answer_can_be_stopped(make_children: MakeChildren) -> None:
    children, began = make_children(), time.monotonic()

    def why_stop() -> str | None:
        return "paused" if time.monotonic() > began + 2 else None

    with pytest.raises(BusyError):
        children.answer(STUDY, _ask("write_for_ever"), why_stop)
    _works(children)


def test_an_answer_to_nothing_is_not_taken_for_the_next(make_children: MakeChildren) -> None:
    children = make_children()
    children.answer(STUDY, _ask("twice"), _never)
    _wait_until(lambda: bool(psutil.Process(children.pids[STUDY])))
    time.sleep(0.5)
    with pytest.raises(ComputeError, match="was not asked"):
        children.answer(STUDY, _ask("echo"), _never)
    _works(children)


def test_one_that_fails_at_its_start_is_told_by_the_kind_of_its_error(
    make_children: MakeChildren, monkeypatch: pytest.MonkeyPatch, log_file: Path
) -> None:
    children = make_children()
    monkeypatch.setenv("FEDEHR_TEST_BREAKS", "yes")
    with pytest.raises(ComputeError, match="status 1, by KeyError"):
        children.answer(STUDY, _ask("echo"), _never)
    assert CANARY not in log_file.read_text()
    monkeypatch.delenv("FEDEHR_TEST_BREAKS")
    _works(children)


def test_a_program_that_is_missing_or_no_such_process_is_told(make_children: MakeChildren) -> None:
    with pytest.raises(ComputeError, match="cannot start"):
        make_children(program=("/no/such/program",)).answer(STUDY, _ask("echo"), _never)
    with pytest.raises(ComputeError, match="ended by itself with status 0"):
        make_children(program=("/bin/true",)).answer(STUDY, _ask("echo"), _never)


@pytest.fixture
def nowhere_to_hide() -> tuple[str, ...]:
    """The program where the system has neither namespaces nor filters."""
    return (sys.executable, str(HERE / "refusing.py"), "unshare", "filters", "--", *BEHAVING)


def test_where_nothing_keeps_it_from_the_network_it_does_not_work(
    make_children: MakeChildren, nowhere_to_hide: tuple[str, ...]
) -> None:
    with pytest.raises(ComputeError, match="require_isolation = false"):
        make_children(program=nowhere_to_hide).answer(STUDY, _ask("echo"), _never)


def test_where_the_site_file_says_so_it_works_with_the_network_and_tells(
    make_children: MakeChildren, nowhere_to_hide: tuple[str, ...], log_file: Path
) -> None:
    _works(make_children(LimitsConfig(require_isolation=False), nowhere_to_hide))
    assert "it has the network" in log_file.read_text()


def test_without_landlock_it_works_and_tells(make_children: MakeChildren, log_file: Path) -> None:
    program = (sys.executable, str(HERE / "refusing.py"), "landlock", "--", *BEHAVING)
    _works(make_children(program=program))
    assert "it can write wherever its account can: the kernel has no" in log_file.read_text()


@pytest.mark.skipif(not confines(), reason="this kernel has no Landlock (Linux 5.19)")
def test_what_it_may_not_write_ends_it_with_that_error(
    make_children: MakeChildren, tmp_path: Path
) -> None:
    file = tmp_path / "site.toml"
    file.write_text("as it was")
    with pytest.raises(ComputeError, match="by PermissionError"):
        make_children().answer(STUDY, _ask("hang", file=str(file)), _never)
    assert file.read_text() == "as it was"


def test_each_study_has_a_process_and_the_one_used_longest_ago_goes(
    make_children: MakeChildren,
) -> None:
    children = make_children(LimitsConfig(num_warm_studies=2))
    for study in (STUDY, OTHER, STUDY, "c" * 64):
        children.answer(study, _ask("echo"), _never)
    assert set(children.pids) == {STUDY, "c" * 64}
    assert len(set(children.pids.values())) == 2


def test_forgetting_and_closing_leave_no_process(make_children: MakeChildren) -> None:
    children = make_children()
    pids = []
    for study in (STUDY, OTHER):
        children.answer(study, _ask("echo"), _never)
        pids.append(children.pids[study])
    children.forget(STUDY)
    children.forget("unknown")
    assert [_is_gone(pid) for pid in pids] == [True, False]
    children.close()
    assert _is_gone(pids[1])
    with pytest.raises(ComputeError, match="stopping"):
        children.answer(STUDY, _ask("echo"), _never)


def test_closing_ends_work_in_another_thread(make_children: MakeChildren, tmp_path: Path) -> None:
    children, file, errors = make_children(), tmp_path / "work" / "pid", []

    def work() -> None:
        try:
            children.answer(STUDY, _ask("hang", file=str(file)), _never)
        except ComputeError as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    _wait_until(lambda: file.exists() and bool(file.read_text()))
    children.close()
    thread.join(20)
    assert len(errors) == 1
    assert _is_gone(int(file.read_text()))


def test_it_outlives_the_thread_that_first_asked(make_children: MakeChildren) -> None:
    children, pids = make_children(), []
    thread = threading.Thread(target=lambda: pids.append(_works(children)))
    thread.start()
    thread.join()
    time.sleep(0.5)
    assert _works(children) == pids[0]
