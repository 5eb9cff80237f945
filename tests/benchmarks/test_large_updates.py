"""Updates of 100 MB through hospitals' nodes: memory, bytes on the wire, and what stays behind.

Two nodes over TLS and keys; one of them through a proxy that counts its bytes. A model of 25
million parameters travels in 32 bits, uncompressed, for two rounds of one step.
"""

import json
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lab_module import lab_module

pytestmark = pytest.mark.benchmark

RUN_SECONDS = 1_500.0
NUM_ROUNDS = 2
UPDATE_BYTES = 100e6

STUDY = f"""
name = "large"

[federation]
min_sites = 2
join_deadline_seconds = 120.0
round_deadline_seconds = 900.0

[sequence]
context = 64

[model]
layers = 8
hidden = 512
heads = 8

[pretraining]
rounds = {NUM_ROUNDS}
steps_per_round = 1
steps_per_epoch = 2
optimizer_state = "fresh"

[exchange]
dtype = "fp32"
compress = false

[finetuning]
tasks = ["death"]
rounds = 0
"""


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Any]:
    if shutil.which("nginx") is None:
        pytest.skip("nginx is not installed (apt-get install nginx-light)")
    made = lab_module("network_apps/network.py").Network(tmp_path, {})
    try:
        made.open()
        yield made
    finally:
        made.close()


class LargestKept:
    """How many bytes of answers a node kept at most, looked at several times a second."""

    def __init__(self, outbox: Path) -> None:
        self._outbox = outbox
        self.num_bytes = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def now(self) -> int:
        """Bytes at this moment, without receipts."""
        total = 0
        for file in (self._outbox / "kept").rglob("*"):
            try:
                if file.is_file():
                    total += file.stat().st_size
            except FileNotFoundError:
                continue
        return total

    def stop(self) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._done.wait(0.2):
            self.num_bytes = max(self.num_bytes, self.now())


def test_memory_and_bytes_of_100_megabytes(
    network: Any, tmp_path: Path, record_figures: Any
) -> None:
    from fedehr_simulations.hospitals.folder import write_hospitals
    from fedehr_simulations.hospitals.plan import HospitalsPlan

    sites = tmp_path / "sites"
    write_hospitals(sites, HospitalsPlan(num_subjects=400, num_sites=2, seed=0))
    (tmp_path / "study.toml").write_text(STUDY)
    proxy = lab_module("node/apps/gated_proxy.py").GatedProxy(
        network.coordinator, network.proxy_port
    )
    try:
        network.join("hospital-2", sites / "hospital-2", compute={"num_threads": 1})
        network.proxy_port = proxy.port
        node = network.join("hospital-1", sites / "hospital-1", compute={"num_threads": 1})
        network.approve(tmp_path / "study.toml")
        kept = LargestKept(node / "outbox")
        processes = lab_module("node/apps/node_processes.py").NodeProcesses(node)
        idle = {role: processes.peak_bytes(role) for role in ("worker", "supernode")}
        before = kept.now()
        begin = time.monotonic()
        children = PeakOfChildren(processes)
        network.must(
            "fedehr-server", "submit", network.coordinator, tmp_path / "study.toml",
            "--run", "large", timeout=RUN_SECONDS,
        )  # fmt: skip
        seconds = time.monotonic() - begin
        children.stop()
        kept.stop()
        result = json.loads((network.coordinator / "runs" / "large" / "result.json").read_text())
        moved = result["bytes"]
        rounds = [entry for entry in moved["per_round"] if entry["phase"] == "pretraining"]
        up = moved["up_per_site"]["hospital-1"]
        figures = {
            "update_bytes": rounds[0]["up"] / 2,
            "wire_bytes_up": proxy.num_bytes_up,
            "wire_bytes_down": proxy.num_bytes_down,
            "wire_overhead_up": proxy.num_bytes_up / up - 1,
            "worker_peak_bytes": processes.peak_bytes("worker"),
            "worker_idle_peak_bytes": idle["worker"],
            "supernode_peak_bytes": processes.peak_bytes("supernode"),
            "supernode_idle_peak_bytes": idle["supernode"],
            "child_peak_bytes": children.num_bytes,
            "kept_at_most_bytes": kept.num_bytes,
            "kept_after_acknowledgement_bytes": kept.now() - before,
            "seconds": seconds,
        }
        record_figures("large_updates", figures)
        assert result["status"] == "completed"
        assert figures["update_bytes"] >= UPDATE_BYTES
        assert figures["kept_at_most_bytes"] >= UPDATE_BYTES
        assert figures["kept_after_acknowledgement_bytes"] == 0
    finally:
        proxy.close()


class PeakOfChildren:
    """The most memory of a process that computes, which ends with its study."""

    def __init__(self, processes: Any) -> None:
        self._processes = processes
        self.num_bytes = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._done.wait(0.5):
            for process in self._processes.of("child"):
                try:
                    status = Path(f"/proc/{process.pid}/status").read_text()
                except OSError:
                    continue
                lines = [line for line in status.splitlines() if line.startswith("VmHWM:")]
                self.num_bytes = max(
                    [self.num_bytes, *(int(line.split()[1]) * 1_024 for line in lines)]
                )
