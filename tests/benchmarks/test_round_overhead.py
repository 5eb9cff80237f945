"""A round beyond its training: hospitals' nodes beside the engine's own client.

Three nodes over TLS and keys, one after the other on networks of the same kind, in one run; a
round's training is one step of a tiny model. `FEDEHR_BENCHMARK_ROUNDS` (20) is how many rounds
go through hospitals' nodes; the engine's own client, at twenty seconds and more, does eight.
"""

import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lab_module import lab_module

pytestmark = pytest.mark.benchmark

NUM_ROUNDS = int(os.environ.get("FEDEHR_BENCHMARK_ROUNDS", "20"))
NUM_STOCK_ROUNDS = min(8, NUM_ROUNDS)
NUM_SITES = 3
RUN_SECONDS = 1_800.0
MEDIAN_SECONDS, MOST_SECONDS, TIMES_QUICKER = 4.0, 5.0, 4.0

STUDY = """
name = "overhead"

[federation]
min_sites = 3
join_deadline_seconds = 120.0
round_deadline_seconds = 300.0

[sequence]
context = 64

[model]
layers = 1
hidden = 16
heads = 2

[pretraining]
rounds = NUM_ROUNDS
steps_per_round = 1
steps_per_epoch = 1

[finetuning]
tasks = ["death"]
rounds = 0
"""


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from fedehr_simulations.hospitals.folder import write_hospitals
    from fedehr_simulations.hospitals.plan import HospitalsPlan

    folder = tmp_path_factory.mktemp("overhead") / "sites"
    write_hospitals(folder, HospitalsPlan(num_subjects=900, num_sites=NUM_SITES, seed=0))
    return folder


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


class Figures:
    """Of both kinds of nodes; the last test compares them."""

    seconds: dict[str, list[float]]


Figures.seconds = {}


def test_through_hospitals_nodes(network: Any, sites: Path, tmp_path: Path) -> None:
    study = tmp_path / "study.toml"
    study.write_text(STUDY.replace("NUM_ROUNDS", str(NUM_ROUNDS)))
    for site in sorted(sites.glob("*/metadata")):
        network.join(site.parent.name, site.parent, compute={"num_threads": 1})
    network.approve(study)
    network.must(
        "fedehr-server", "submit", network.coordinator, study, "--run", "timed", timeout=RUN_SECONDS
    )
    Figures.seconds["node"] = _beyond_training(network, "timed", NUM_ROUNDS)


def test_through_the_engines_own_client(network: Any, sites: Path, tmp_path: Path) -> None:
    from fedehr_server.network.control import Control
    from fedehr_server.network.coordinator import open_coordinator
    from fedehr_shared.config.study import StudyConfig

    stock = lab_module("node/apps/stock_node.py")
    environ = {
        "FEDEHR_SITES_FOLDER": str(sites),
        "FEDEHR_WORK_FOLDER": str(tmp_path / "work"),
        "FEDEHR_NUM_THREADS": "1",
        # As quick as its settings make it.
        "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.1",
    }
    names = sorted(site.parent.name for site in sites.glob("*/metadata"))
    nodes = [stock.StockNode(network, name, **environ) for name in names]
    try:
        for place, node in enumerate(nodes):
            node.start(f"partition-id={place} num-partitions={NUM_SITES}")
        (tmp_path / "study.toml").write_text(STUDY.replace("NUM_ROUNDS", str(NUM_STOCK_ROUNDS)))
        study = StudyConfig.load(tmp_path / "study.toml")
        coordinator = open_coordinator(network.coordinator)
        (coordinator.studies / f"{study.digest}.json").write_text(study.to_json())
        settings = {"study": study.digest, "run": "timed", "num-sites": NUM_SITES}
        Control(coordinator).start_run(_bundle(tmp_path / "bundle"), settings)
        _wait_for(network, "timed")
        Figures.seconds["stock"] = _beyond_training(network, "timed", NUM_STOCK_ROUNDS)
    finally:
        for node in nodes:
            node.stop()


def test_a_round_is_four_times_quicker(record_figures: Any) -> None:
    if Figures.seconds.keys() != {"node", "stock"}:
        pytest.skip("one of the two was not measured")
    ours, theirs = np.array(Figures.seconds["node"]), np.array(Figures.seconds["stock"])
    figures = {
        "num_rounds": len(ours),
        "node_median_seconds": float(np.median(ours)),
        "node_p95_seconds": float(np.percentile(ours, 95)),
        "node_first_round_seconds": float(ours[0]),
        "stock_num_rounds": len(theirs),
        "stock_median_seconds": float(np.median(theirs)),
        "stock_p95_seconds": float(np.percentile(theirs, 95)),
        "ratio_of_medians": float(np.median(theirs) / np.median(ours)),
        "load_average": os.getloadavg()[0],
    }
    record_figures("round_overhead", figures)
    assert figures["node_median_seconds"] <= MEDIAN_SECONDS
    assert figures["node_p95_seconds"] <= MOST_SECONDS
    assert figures["ratio_of_medians"] >= TIMES_QUICKER


def _bundle(folder: Path) -> Path:
    from fedehr_server.bundle import copy_bundle

    return copy_bundle(folder)


def _wait_for(network: Any, run: str) -> None:
    deadline = time.monotonic() + RUN_SECONDS
    result = network.coordinator / "runs" / run / "result.json"
    while not result.exists():
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert json.loads(result.read_text())["status"] == "completed"


def _beyond_training(network: Any, run: str, num_rounds: int) -> list[float]:
    """By round of pre-training, its seconds without those of the slowest site's training."""
    text = (network.coordinator / "runs" / run / "progress.jsonl").read_text()
    rounds = [event for event in map(json.loads, text.splitlines()) if event["event"] == "round"]
    trained = [event for event in rounds if event["phase"] == "pretraining"]
    assert [event["num_answers"] for event in trained] == [NUM_SITES] * num_rounds
    return [
        event["seconds"] - max(site["seconds"] for site in event["sites"].values())
        for event in trained
    ]
