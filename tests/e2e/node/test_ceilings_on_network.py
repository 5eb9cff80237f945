"""Each ceiling of a site file, crossed over a real network: nothing of it is approved, what was
approved before is asked in vain, and the site's audit says so."""

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.debian, pytest.mark.long]

STRICT = "hospital-1"
PRIVATE = {"mechanism": "local", "target_epsilon": 3.0, "target_delta": 1e-4}
CROSSED: dict[str, dict[str, Any]] = {
    "studies": {"studies": ["another"]},
    "tasks": {"tasks": ["long_stay"]},
    "min_cell": {"min_cell": 500},
    "min_sites": {"min_sites": 3},
    "max_bytes_per_day": {"max_bytes_per_day": 20_000},
    "min_subjects": {"min_subjects": 100_000},
    "require_privacy": {"require_privacy": True, "subject_epsilon": 50.0},
    "subject_epsilon": {"subject_epsilon": 1.0, "subject_delta": 1e-4},
}


@pytest.fixture
def node(field: Any) -> Iterator[Path]:
    """The strict site's folder; its site file is put back afterwards."""
    folder: Path = field.network.nodes[STRICT]
    file = folder / "site.toml"
    before = file.read_text()
    yield folder
    file.write_text(before)


@pytest.fixture(scope="module")
def study_of(study: Any, make_study: Callable[..., Any], node_apps: Any) -> Callable[[str], Any]:
    """The study that a ceiling is tried on."""
    noisy = make_study(**node_apps.field.SECTIONS, privacy=PRIVATE)
    return lambda key: noisy if key == "subject_epsilon" else study


@pytest.mark.parametrize("key", CROSSED)
def test_a_ceiling_stops_what_crosses_it(
    field: Any, study_of: Any, node: Path, network_module: Any, key: str
) -> None:
    study = study_of(key)
    number = list(CROSSED).index(key)
    approved, file = field.contract(study, days=40 + number)
    field.approve(file)
    waiting, other = field.contract(study, days=60 + number)
    network_module.configure(node, "ceilings", **CROSSED[key])
    done = field.network.run("fedehr-client", "approve", node, other, "--yes")
    assert done.returncode == 6, done.stderr
    assert f"[ceilings] {key} " in done.stderr
    result = field.start(study, approved, f"crossed-{number}").finish()
    code = "budget" if key == "subject_epsilon" else "policy"
    assert (result["status"], result["code"], result["exit_code"]) == ("failed", code, 6)
    lines = [line for line in field.audit(STRICT) if line.get("contract") == approved.digest]
    refused = [line for line in lines if line["event"] in {"request_refused", "round_refused"}]
    assert {line["code"] for line in refused} == {code}
    assert not [line for line in lines if line["event"] == "round_answered"]
    decided = {
        line["contract"] for line in field.audit(STRICT) if line["event"] == "contract_approved"
    }
    assert approved.digest in decided
    assert waiting.digest not in decided


def test_a_study_waits_for_the_hours_that_a_site_allows(
    field: Any, study: Any, undisturbed: dict[str, str], node: Path, network_module: Any
) -> None:
    contract, file = field.contract(study, days=80)
    field.approve(file)
    # Of the clock on the wall, as the site reads it.
    later = datetime.now() + timedelta(hours=3)
    hours = f"{later:%H}:00-{later + timedelta(hours=1):%H}:00"
    _restarted(field, node, network_module, [hours])
    run = field.start(study, contract, "closed")
    waits = _first_wait(run)
    assert (waits["site"], waits["code"]) == (STRICT, "busy")
    assert run.num_rounds() == 0
    _restarted(field, node, network_module, [])
    assert run.finish()["status"] == "completed"
    assert run.digests() == undisturbed


def _restarted(field: Any, node: Path, network_module: Any, hours: list[str]) -> None:
    """A running node reads its hours once."""
    field.network.must("fedehr-client", "stop", node)
    network_module.configure(node, "schedule", allowed_hours=hours)
    field.network.start(STRICT)


def _first_wait(run: Any) -> dict[str, Any]:
    deadline = time.monotonic() + 180
    while not (found := run.events("site_waits")):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    first: dict[str, Any] = found[0]
    return first
