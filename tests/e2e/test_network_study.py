"""A whole study over a real network, and the same study in simulation: the same weights."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.debian]

STUDY = """
name = "same-bits"
seed = 7

[federation]
min_sites = 3
join_deadline_seconds = 60.0
round_deadline_seconds = 120.0

[sequence]
context = 64

[model]
layers = 1
hidden = 16
heads = 2

[pretraining]
rounds = 2
steps_per_round = 3
steps_per_epoch = 3

[finetuning]
tasks = ["death"]
tuning = "lora"
rounds = 2
steps_per_round = 3
steps_per_epoch = 3

[lora]
rank = 2
aggregation = "reprojection"

[exchange]
dtype = "int8"

[evaluation]
num_bootstraps = 100
"""


def test_network_and_simulation_end_at_the_same_bits(
    make_network: Callable[..., Any], tmp_path: Path
) -> None:
    study = tmp_path / "study.toml"
    study.write_text(STUDY)
    sites, simulated = tmp_path / "sites", tmp_path / "simulated"
    network = make_network()
    make = ("--out", sites, "--subjects", 600, "--sites", 3)
    network.must("fedehr-sim", "hospitals", *make)
    names = sorted(path.parent.name for path in sites.glob("*/metadata"))
    assert len(names) == 3
    for name in names:
        network.register(name, sites / name, compute={"num_threads": 1})
    _refuses_to_wait_for_ever(network, tmp_path)
    for name in names:
        network.start(name)
    network.approve(study)
    network.must("fedehr-server", "submit", network.coordinator, study, "--run", "real")
    _stop_nodes(network)
    # Three actors on two cores: one thread each, as in site.toml.
    run = ("fedehr-sim", "run", study, "--sites", sites, "--out", simulated, "--actors", 3)
    network.must(*run)

    real, played = network.coordinator / "runs" / "real", simulated / "runs" / "federated"
    result = json.loads((real / "result.json").read_text())
    assert result["status"] == "completed"
    assert _digests(real) == _digests(played)
    for name in ("vocabulary.json", "evaluation.json"):
        assert (real / name).read_bytes() == (played / name).read_bytes(), name
    rounds = [event for event in _events(real) if event["event"] == "round"]
    assert [event["num_answers"] for event in rounds] == [3] * len(rounds)
    phases = [event["phase"] for event in rounds]
    assert phases.count("pretraining") == 2
    assert phases.count("finetuning") == 2
    _moves_kilobytes(result["bytes"])
    states = {run["run"]: run["state"] for run in network.status()["runs"]}
    assert states["real"] == "completed"


def _moves_kilobytes(moved: dict[str, Any]) -> None:
    """What no round trains went to each site once; rounds carried adapters and heads."""
    first, second = [entry for entry in moved["per_round"] if entry["phase"] == "finetuning"]
    assert first["base"] == sum(moved["base_per_site"].values()) > 0
    assert second["base"] == 0
    trained = [entry for entry in moved["per_round"] if entry["phase"] == "pretraining"]
    assert second["up"] < trained[0]["up"] / 4


def _refuses_to_wait_for_ever(network: Any, tmp_path: Path) -> None:
    """A run without its sites fails, and so does the command that submitted it."""
    impatient = tmp_path / "impatient.toml"
    impatient.write_text(
        STUDY.replace("join_deadline_seconds = 60.0", "join_deadline_seconds = 1.0")
    )
    done = network.run(
        "fedehr-server", "submit", network.coordinator, impatient, "--num-sites", 3, "--json"
    )
    result = json.loads(done.stdout)
    assert result["status"] == "failed"
    assert done.returncode == result["exit_code"] == 7


def _stop_nodes(network: Any) -> None:
    for node in network.nodes.values():
        network.must("fedehr-client", "stop", node)


def _digests(run: Path) -> dict[str, str]:
    """The SHA-256 of every tensor file that the run's manifests vouch for, by checkpoint."""
    found = {}
    for manifest in sorted(run.glob("checkpoints/*/manifest.json")):
        for name, digest in json.loads(manifest.read_text())["sha256"].items():
            found[f"{manifest.parent.name}/{name}"] = digest
    assert any(name.startswith("pretraining") for name in found)
    assert any(name.startswith("finetuning") for name in found)
    return found


def _events(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "progress.jsonl").read_text().splitlines()]
