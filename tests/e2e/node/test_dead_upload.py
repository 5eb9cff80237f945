"""A node that is killed in the middle of an upload holds nobody up: the round ends in its time."""

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.debian, pytest.mark.long]

VICTIM, OTHER = "hospital-1", "hospital-2"
DEADLINE_SECONDS = 45.0
"""Of a round; the engine waits 180 for the rest of an answer that was half handed over."""
MOST_LATE_SECONDS = 15.0


@pytest.fixture(scope="module")
def study(make_study: Callable[..., Any], node_apps: Any) -> Any:
    """One round of training, which one site may close."""
    sections = node_apps.field.SECTIONS
    times = {"min_sites": 1, "round_deadline_seconds": DEADLINE_SECONDS}
    return make_study(
        federation={**sections["federation"], **times},
        vocabulary={"min_sites": 1},
        pretraining={**sections["pretraining"], "rounds": 1},
        finetuning={"rounds": 0},
    )


def test_a_round_ends_at_its_deadline(
    field: Any, study: Any, node_apps: Any, network_module: Any
) -> None:
    for folder in field.network.nodes.values():
        network_module.configure(folder, "ceilings", min_sites=1)
    node = node_apps.node_processes.NodeProcesses(field.network.nodes[VICTIM])
    contract, file = field.contract(study, days=31)
    field.approve(file)
    run = field.start(study, contract, "dead-upload")
    run.wait_for_rounds(1)
    gate = field.proxy.gate("push-object", min_bytes=4_000, after_bytes=2_000)
    assert gate.reached.wait(DEADLINE_SECONDS)
    for process in node.all().values():
        process.kill()
    gate.cut()
    result = run.finish(300)
    node_apps.field.wait_until(
        lambda: run.control.run_state(run.run_id).startswith("finished"), 60, "the run's end"
    )
    field.network.start(VICTIM)
    (vocabulary, pretraining) = run.events("round")
    print("\nthe round took", pretraining["seconds"], "s")
    assert (result["status"], pretraining["num_answers"]) == ("completed", 1)
    assert f"{VICTIM}: deadline" in str(result["missing"])
    assert pretraining["seconds"] < DEADLINE_SECONDS + MOST_LATE_SECONDS
    assert vocabulary["num_answers"] == 2
