"""What can be known to be wrong with a run is said before PyTorch or the engine is loaded."""

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fedehr_server.network.contract_shelf import ContractShelf
from fedehr_server.network.coordinator import CoordinatorFolder
from fedehr_server.network.readiness import require_ready
from fedehr_shared.contract.study_contract import utc_text
from fedehr_shared.errors import ConfigError, NetworkError, UsageError

Make = Callable[..., Any]

_STUDY = 'name = "small"\n[finetuning]\ntasks = ["death"]\n[federation]\nmin_sites = 3\n'
_WATCHED = """
import json, subprocess, sys
started = []
real = subprocess.Popen.__init__
def noted(self, command, *rest, **more):
    started.append(str(command))
    real(self, command, *rest, **more)
subprocess.Popen.__init__ = noted
from fedehr_server.cli.main import run
try:
    run()
finally:
    loaded = sorted({"torch", "flwr"} & sys.modules.keys())
    print("watched", json.dumps({"loaded": loaded, "started": started}))
"""


@pytest.mark.parametrize("command", ["propose", "submit", "contract"])
def test_too_few_sites_are_told_before_anything_slow(
    command: str, coordinator: CoordinatorFolder, tmp_path: Path
) -> None:
    (coordinator.sites / "hospital-3.json").unlink()
    study = tmp_path / "study.toml"
    study.write_text(_STUDY)
    done = subprocess.run(
        [sys.executable, "-c", _WATCHED, command, str(coordinator.path), str(study)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 3
    told = " ".join(done.stderr.split())
    assert "needs 3 sites" in told
    assert " 2. Add sites with `fedehr-server site add`" in told
    watched = json.loads(done.stdout.partition("watched ")[2])
    assert watched == {"loaded": [], "started": []}


def test_a_run_that_cannot_be_is_refused_by_what_is_on_the_disk(
    coordinator: CoordinatorFolder, draft: Make, make_study: Make
) -> None:
    study = make_study()
    contract = draft(study)
    ContractShelf(coordinator).sign(contract)
    digest = contract.digest[:12]
    (coordinator.submissions / "taken.json").touch()
    with pytest.raises(UsageError, match="taken"):
        require_ready(coordinator, study, run="taken")
    with pytest.raises(UsageError, match="is no name"):
        require_ready(coordinator, study, run="../outside")
    with pytest.raises(ConfigError, match="would wait for 1"):
        require_ready(coordinator, study, num_sites=1)
    with pytest.raises(UsageError, match="names 3: hospital-1"):
        require_ready(coordinator, study, contract=digest, num_sites=4)
    # Nothing else is wrong: it is the SuperLink that is missing.
    with pytest.raises(NetworkError, match="start"):
        require_ready(coordinator, study, contract=digest, num_sites=3, run="new")
    for name in ("hospital-1", "hospital-3"):
        (coordinator.sites / f"{name}.json").unlink()
    with pytest.raises(ConfigError, match=f"of those in contract {digest} the coordinator knows 1"):
        require_ready(coordinator, study, contract=digest)


def test_a_contract_whose_time_is_over_is_not_waited_for(
    coordinator: CoordinatorFolder, draft: Make, make_study: Make, keys: Any
) -> None:
    study, now = make_study(), datetime.now(UTC)
    days = [utc_text(now - timedelta(days=days)) for days in (3, 1)]
    contract = draft(study, created=days[0], deadline=days[1])
    kept = ContractShelf(coordinator).file_of(contract.digest)
    kept.write_text(keys.sign(contract.to_json()).to_json())
    with pytest.raises(ConfigError, match=f"ended at {days[1]}"):
        require_ready(coordinator, study, contract=contract.digest)
