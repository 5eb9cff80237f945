"""`kill -9` of each of a node's processes in each phase of a round.

Whatever is killed and whenever: the study ends with the weights of an undisturbed run, and an
update that was finished is sent again, not trained again.
"""

import time
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.debian, pytest.mark.long]

PHASES = ("receiving", "training", "sealing", "sending")
VICTIM = "hospital-1"
MOST_SECONDS = 480.0
"""A killed SuperNode's key is let in again after a minute, and of an upload that broke off the
engine waits three for the rest; the study's other rounds are to be run as well."""


@pytest.fixture(scope="module")
def study(make_study: Callable[..., Any], node_apps: Any) -> Any:
    """A round of pre-training that nothing happens to, and one for each phase."""
    sections = node_apps.field.SECTIONS
    long_rounds = {"rounds": 1 + len(PHASES), "steps_per_round": 60, "steps_per_epoch": 20}
    return make_study(**{**sections, "pretraining": {**sections["pretraining"], **long_rounds}})


class Round:
    """The round of pre-training that comes next, at the victim."""

    def __init__(self, field: Any, contract: Any, number: int, node_apps: Any) -> None:
        self._field, self._contract, self._number = field, contract, number
        self._wait = node_apps.field.wait_until
        self._outbox = field.network.nodes[VICTIM] / "outbox"
        self._gate = None

    def lines(self, event: str) -> list[dict[str, Any]]:
        """What the victim's audit says of this round."""
        wanted = (event, self._contract.digest, "pretraining", self._number)
        return [
            line
            for line in self._field.audit(VICTIM)
            if (line["event"], line.get("contract"), line.get("phase"), line.get("round")) == wanted
        ]

    def arm(self, phase: str) -> None:
        """Once the round before has closed; the SuperNode asks every three seconds."""
        if phase == "receiving":
            self._gate = self._field.proxy.gate("pull-object")
        if phase == "sending":
            self._gate = self._field.proxy.gate("push-object", min_bytes=4_000, after_bytes=2_000)
        self._before = set(self._outbox.rglob("*"))

    def reach(self, phase: str) -> None:
        """Wait until the victim is in this phase."""
        if self._gate is not None:
            assert self._gate.reached.wait(120)
        else:
            self._wait(lambda: self.lines("round_asked"), 120, "the round's request")
        if phase == "training":
            time.sleep(0.5)
            assert not self.lines("round_answered")
        if phase == "sealing":
            self._wait(lambda: set(self._outbox.rglob("*")) - self._before, 120, "a sealed answer")

    def let_go(self) -> None:
        """The line is cut where it was held."""
        if self._gate is not None:
            self._gate.cut()


@pytest.mark.parametrize("role", ["worker", "child", "supernode", "supervisor"])
def test_the_study_ends_as_if_nothing_had_happened(
    field: Any, study: Any, undisturbed: dict[str, str], node_apps: Any, role: str
) -> None:
    node = node_apps.node_processes.NodeProcesses(field.network.nodes[VICTIM])
    contract, file = field.contract(study)
    field.approve(file)
    run = field.start(study, contract, f"killed-{role}")
    rounds = {phase: Round(field, contract, 2 + n, node_apps) for n, phase in enumerate(PHASES)}
    for num_closed, (phase, one) in enumerate(rounds.items(), start=2):
        run.wait_for_rounds(num_closed, MOST_SECONDS)
        one.arm(phase)
        one.reach(phase)
        node.kill(role)
        one.let_go()
        if role == "supervisor":
            node_apps.field.wait_until(lambda: not node.all(), 30, "the others' end")
            field.network.start(VICTIM)
    result = run.finish(MOST_SECONDS)
    assert (result["status"], result["missing"]) == ("completed", [])
    assert run.digests() == undisturbed
    for one in rounds.values():
        answered = one.lines("round_answered")
        assert answered
        assert len({line["sha256"] for line in answered}) == 1
    field.network.must("fedehr-client", "audit", "verify", field.network.nodes[VICTIM])
