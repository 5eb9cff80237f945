"""When a node works: hours of the wall clock, a pause, a GPU that somebody else uses."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedehr_client.node.folder import NodeFolder
from fedehr_client.supervision.allowed_hours import AllowedHours
from fedehr_client.supervision.availability import Availability, Busy
from fedehr_client.supervision.gpu_use import (
    CACHE_SECONDS,
    GpuUse,
    computing_processes,
    num_foreign,
)
from fedehr_client.supervision.pause import PAUSE_FILE, PauseMarker

MINUTES = st.integers(0, 24 * 60 - 1)


def _clock(minute: int) -> time:
    return time(minute // 60, minute % 60)


def _text(begin: int, end: int) -> str:
    return f"{_clock(begin):%H:%M}-{_clock(end):%H:%M}"


@given(MINUTES, MINUTES, MINUTES)
def test_a_span_holds_the_minutes_that_one_counts_from_its_begin(
    begin: int, end: int, moment: int
) -> None:
    if begin == end:
        return
    length = (end - begin) % (24 * 60)
    is_within = (moment - begin) % (24 * 60) < length
    assert AllowedHours.of([_text(begin, end)]).includes(_clock(moment)) is is_within


@given(st.lists(st.tuples(MINUTES, MINUTES).filter(lambda p: p[0] != p[1]), min_size=1), MINUTES)
def test_work_may_begin_when_the_next_span_does(spans: list[tuple[int, int]], moment: int) -> None:
    hours = AllowedHours.of([_text(*span) for span in spans])
    begin = hours.next_begin(_clock(moment))
    assert begin is not None
    assert hours.includes(begin)
    if not hours.includes(_clock(moment)):
        wait = (begin.hour * 60 + begin.minute - moment) % (24 * 60)
        between = (_clock((moment + minute) % (24 * 60)) for minute in range(wait))
        assert not any(hours.includes(each) for each in between)


def test_without_spans_it_always_works() -> None:
    hours = AllowedHours.of([])
    assert hours.includes(time(3, 0))
    assert hours.next_begin(time(3, 0)) is None


def test_summer_time_moves_no_span() -> None:
    """Each real quarter of an hour of both nights of the change, by the clock on the wall."""
    zone, utc = ZoneInfo("Europe/Paris"), ZoneInfo("UTC")
    hours = AllowedHours.of(["01:30-03:30"])
    allowed = {}
    for night in (datetime(2026, 3, 28, 22, tzinfo=utc), datetime(2026, 10, 24, 22, tzinfo=utc)):
        moments = [night + timedelta(minutes=15 * step) for step in range(32)]
        walls = [moment.astimezone(zone) for moment in moments]
        within = [wall for wall in walls if hours.includes(wall.time())]
        assert all(time(1, 30) <= wall.time() < time(3, 30) for wall in within)
        allowed[night.month] = len(within) / 4
    assert allowed == {3: 1.0, 10: 3.0}, "an hour is missing in March and comes twice in October"


@pytest.fixture
def node(tmp_path: Path) -> NodeFolder:
    return NodeFolder(tmp_path)


def _write_site(node: NodeFolder, *sections: str) -> None:
    node.site_file.write_text(
        '[site]\nname = "north"\nrecords = "records"\n'
        '[network]\ncoordinator = "localhost:443"\nroot_certificates = "ca.crt"\n'
        'private_key = "node.key"\n' + "\n".join(sections)
    )


def test_a_pause_goes_before_everything_and_outlives_its_maker(node: NodeFolder) -> None:
    _write_site(node, '[schedule]\nallowed_hours = ["22:00-06:00"]')
    available = Availability(node, wall_clock=lambda: time(12, 0))
    assert available.busy() == (Busy.OUTSIDE_HOURS, "outside its hours until 22:00")
    code = (
        "import sys; from pathlib import Path; from fedehr_client.supervision.pause import *; "
        "PauseMarker(Path(sys.argv[1])).set('the scanner needs the machine')"
    )
    subprocess.run([sys.executable, "-c", code, str(node.state)], check=True)
    found = available.busy()
    assert found is not None
    assert found[0] is Busy.PAUSED
    assert "the scanner needs the machine" in str(available.why_busy())
    assert PauseMarker(node.state).clear()
    assert not PauseMarker(node.state).clear()
    assert Availability(node, wall_clock=lambda: time(23, 0)).why_busy() is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"since": 3}', b"\xff\xfe", b"[" * 10**5])
def test_a_damaged_pause_is_a_pause(node: NodeFolder, content: bytes) -> None:
    node.state.mkdir()
    (node.state / PAUSE_FILE).write_bytes(content)
    _write_site(node)
    found = Availability(node).busy()
    assert found is not None
    assert found[0] is Busy.PAUSED


@pytest.fixture
def other_process() -> Iterator[int]:
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process.pid
        process.kill()


def _fake_nvidia_smi(folder: Path, body: str) -> None:
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)


def test_a_gpu_that_others_use_is_left_to_them(
    node: NodeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write_site(node, "[schedule]\nyield_gpu = true")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    # Process 1 is never of this tree, and holds no GPU that this process could see.
    _fake_nvidia_smi(tmp_path, "echo 1")
    found = Availability(node).busy()
    assert found is not None
    assert found[0] is Busy.GPU_TAKEN
    _fake_nvidia_smi(tmp_path, f"echo {os.getpid()}; echo '[N/A]'")
    assert Availability(node).why_busy() is None
    _fake_nvidia_smi(tmp_path, "exit 9")
    assert "nvidia-smi" in str(Availability(node).why_busy())
    _write_site(node, '[schedule]\nyield_gpu = true\n[compute]\ndevice = "cpu"')
    assert Availability(node).why_busy() is None


def test_without_nvidia_smi_there_is_no_gpu_to_lend(
    node: NodeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write_site(node, "[schedule]\nyield_gpu = true")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert computing_processes() == []
    assert Availability(node).why_busy() is None


def test_only_the_gpus_that_the_node_sees_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fake_nvidia_smi(tmp_path, '[ "$1 $2" = "--id GPU-7" ] && echo 7 || echo 8')
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert computing_processes() == [8]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-7")
    assert computing_processes() == [7]


@given(
    own=st.sets(st.integers(1, 20)),
    visible=st.sets(st.integers(21, 40)),
    hidden=st.sets(st.integers(41, 60)),
    in_container=st.booleans(),
)
def test_in_a_container_unknown_numbers_are_the_nodes_own_as_far_as_it_has_processes(
    own: set[int], visible: set[int], hidden: set[int], in_container: bool
) -> None:
    holders = own | visible
    seen = {pid + 1_000 for pid in own} if in_container else own
    found = num_foreign([*seen, *visible, *hidden], frozenset(own), lambda pid: pid in holders)
    assert found == len(visible) + len(hidden)


def test_the_gpu_is_asked_for_once_in_a_while() -> None:
    now, asked = [0.0], []

    def query() -> list[int]:
        asked.append(now[0])
        return []

    use = GpuUse(query, lambda: now[0])
    for tenth in range(120):
        now[0] = tenth / 10
        use.why_taken()
    assert asked == [0.0, CACHE_SECONDS, 2 * CACHE_SECONDS]
