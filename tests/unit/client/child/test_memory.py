"""What a process holds, and what is left to it."""

import mmap
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from fedehr_client.child.config import LimitsConfig
from fedehr_client.child.environment import MEMORY_BYTES
from fedehr_client.child.memory import held_bytes, memory_limit
from fedehr_client.compute.free_memory import free_bytes

MEGABYTES = 2**20


def test_memory_of_its_own_counts_and_pages_of_files_do_not(tmp_path: Path) -> None:
    before = held_bytes(os.getpid())
    held = bytearray(b"1") * (100 * MEGABYTES)
    assert 90 * MEGABYTES < held_bytes(os.getpid()) - before < 150 * MEGABYTES
    file = tmp_path / "store"
    file.write_bytes(held)
    del held
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        assert sum(mapped[:: mmap.PAGESIZE]) > 0
        assert held_bytes(os.getpid()) - before < 50 * MEGABYTES


def test_what_it_started_counts_with_it() -> None:
    code = f"held = bytearray(b'1') * (100 * {MEGABYTES}); print(flush=True); input()"
    before = held_bytes(os.getpid())
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert held_bytes(os.getpid()) - before > 90 * MEGABYTES
        other.communicate(b"\n")
    assert held_bytes(other.pid) == 0


def test_the_site_decides_or_nine_tenths_of_the_machine() -> None:
    assert memory_limit(LimitsConfig(max_memory_bytes=2**30)) == 2**30
    whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < memory_limit(LimitsConfig()) <= 0.9 * whole


def test_a_model_is_fitted_into_what_the_site_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a site whose limit is below its machine's memory could take part in no round."""
    cpu, room = torch.device("cpu"), 200 * MEGABYTES
    monkeypatch.setenv(MEMORY_BYTES, str(held_bytes(os.getpid()) + room))
    assert abs(free_bytes(cpu) - room) < 50 * MEGABYTES
    monkeypatch.setenv(MEMORY_BYTES, "1")
    assert free_bytes(cpu) == 0
