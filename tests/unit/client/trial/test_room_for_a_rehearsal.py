"""A rehearsal that would find no room says so before it starts anything."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fedehr_client.node.folder import create_node

PROGRAM = Path(sys.executable).parent / "fedehr-client"


def test_a_disk_without_room_ends_it_with_what_is_needed(
    small_disk: Callable[[int], Path], hospitals: Any
) -> None:
    disk = small_disk(4 * 2**20)
    records = hospitals.sites[0].path
    node = create_node(disk / "node", "north", records, "fedehr.invalid:443", None)
    done = subprocess.run(
        [str(PROGRAM), "rehearse", str(node.path)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 4, done.stderr
    told = " ".join(done.stderr.split())
    assert "a study takes about 1.0 GB below" in told
    assert "its disk has 0.0 GB free. Free 1.0 GB there" in told
    assert "Traceback" not in done.stderr
    assert list((node.path / "work").iterdir()) == []
