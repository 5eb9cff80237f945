"""`fedehr-server propose` without a terminal: it tells as it goes, and its JSON stays clean."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.e2e]


def test_a_proposal_tells_each_step_while_it_goes_on(
    make_network: Callable[..., Any], tmp_path: Path, network_module: Any
) -> None:
    study, records = tmp_path / "study.toml", tmp_path / "records"
    study.write_text('name = "small"\n[finetuning]\ntasks = ["death"]\n')
    (records / "data").mkdir(parents=True)
    network = make_network()
    for name in ("north", "south"):
        network.register(name, records)
    process = subprocess.Popen(
        [
            network_module.PROGRAMS / "fedehr-server",
            "propose",
            network.coordinator,
            study,
            "--json",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    told = []
    for line in process.stderr:
        # A step that is told at the end only is none.
        assert process.poll() is None
        told.append(line)
        if "asking the nodes of 2 site(s)" in line:
            break
    out, _ = process.communicate(timeout=100)
    assert process.returncode == 0
    result = json.loads(out)
    assert result["states"] == {"north": "offline", "south": "offline"}
    steps = " ".join(" ".join(told).split())
    found = [
        steps.find(step)
        for step in ("reckoning", f"signed a new contract: {result['contract']}", "handing it to")
    ]
    assert -1 not in found
    assert found == sorted(found)
