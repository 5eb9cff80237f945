"""`conduct`: joins the state machine to a transport until the study ends."""

import time

from fedehr_server.progress import ProgressLog
from fedehr_server.rounds.events import (
    Abort,
    Action,
    Answered,
    Close,
    DeadlinePassed,
    Failed,
    Finish,
    NodesSeen,
    Open,
    Push,
)
from fedehr_server.rounds.machine import StudyMachine, plan_of
from fedehr_server.study_run import StudyRun
from fedehr_server.traffic import Traffic
from fedehr_server.transport import Transport
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import (
    BaseMissingError,
    BudgetError,
    BusyError,
    CheckpointError,
    ComputeError,
    ConfigError,
    ContractError,
    ContractMissingError,
    DataError,
    DeadlineError,
    FedehrError,
    HeldError,
    MissingTaskError,
    NetworkError,
    NotApprovedError,
    PolicyError,
    TooFewSubjectsError,
    TrainingError,
    UsageError,
    VocabularyMissingError,
    WireError,
)
from fedehr_shared.wire.payload import Payload
from fedehr_shared.wire.reports import ErrorReport
from fedehr_shared.wire.work import WorkId

_ERRORS: dict[str, type[FedehrError]] = {
    kind.code: kind
    for kind in (
        BaseMissingError, BudgetError, BusyError, CheckpointError, ComputeError, ConfigError,
        ContractError, ContractMissingError, DataError, DeadlineError, HeldError,
        MissingTaskError, NetworkError, NotApprovedError, PolicyError, TooFewSubjectsError,
        TrainingError, UsageError, VocabularyMissingError, WireError,
    )
}  # fmt: skip


_LOST_ITS_FOLDER = {BaseMissingError.code, VocabularyMissingError.code}


class Conductor:
    """Runs one study over a transport."""

    def __init__(
        self,
        study: StudyConfig,
        run: StudyRun,
        transport: Transport,
        log: ProgressLog,
        num_sites: int,
    ) -> None:
        self._study = study
        self._run = run
        self._transport = transport
        self._log = log
        self._machine = StudyMachine(study.digest, plan_of(study), study.federation, num_sites)
        self.site_names: dict[int, str] = {}
        self.traffic = Traffic()
        self._asked: dict[int, Push] = {}
        self._was_sent_base: set[int] = set()
        self._deadline = time.monotonic() + study.federation.join_deadline_seconds
        self._over = False

    def conduct(self) -> None:
        """Run to the end.

        Raises:
            FedehrError: the study could not go on; the class carries the exit code.
        """
        while not self._over:
            self._carry_out(self._next_actions())

    def _next_actions(self) -> list[Action]:
        if self._machine.is_joining:
            actions = self._machine.handle(NodesSeen(self._transport.nodes()))
        else:
            actions = [
                action
                for node, payload in self._transport.pull()
                for action in self._answer(node, payload)
            ]
        if not actions and time.monotonic() > self._deadline:
            actions = self._machine.handle(DeadlinePassed())
        if not actions:
            self._transport.wait()
        return actions

    def _answer(self, node: int, payload: Payload | None) -> list[Action]:
        # One request, one answer: a second one must not be added up.
        asked = self._asked.pop(node, None)
        if asked is None:
            return []
        code = self._taken(node, asked, payload)
        if code is None:
            return self._machine.handle(Answered(node, asked.work))
        if code["code"] in _LOST_ITS_FOLDER:
            self._was_sent_base.discard(node)
        self._log.write(
            "site_error",
            phase=asked.work.phase,
            round=asked.work.round,
            site=self._name(node),
            **code,
        )
        return self._machine.handle(Failed(node, asked.work, code["code"]))

    def _taken(self, node: int, asked: Push, payload: Payload | None) -> dict[str, str] | None:
        """Use the answer; None, or the code and reference of why it could not be used."""
        if payload is None:
            return {"code": "network", "reference": ""}
        self.traffic.up[node] += payload.num_bytes
        try:
            if "error" in payload.values:
                report = ErrorReport.from_payload(payload)
                return {"code": report.code, "reference": report.reference}
            self._keep_name(node, payload.text("report", "site"))
            self._run.accept(asked.work, payload)
        except WireError as error:
            return {"code": error.code, "reference": "", "reason": str(error)}
        return None

    def _keep_name(self, node: int, name: str) -> None:
        """A node speaks for one site through the whole study, and no other node for it."""
        if self.site_names.get(node, name) != name:
            raise WireError(f"node {node} changed its site's name to '{name}'.")
        if any(known == name and other != node for other, known in self.site_names.items()):
            raise WireError(f"two nodes call themselves site '{name}'.")
        self.site_names[node] = name

    def _carry_out(self, actions: list[Action]) -> None:
        # A reply may finish a round and open the next one: the actions stand in their order.
        for action in actions:
            match action:
                case Open(work, nodes):
                    if work.phase == "vocabulary":
                        self._log.write("joined", num_answers=len(nodes))
                    self._deadline = (
                        time.monotonic() + self._study.federation.round_deadline_seconds
                    )
                    self._run.open(work, len(nodes))
                case Push(node, work, again):
                    self._asked[node] = action
                    request = self._request(node, work, again)
                    self.traffic.sent(node, request)
                    self._transport.push(node, request)
                case Close(work, nodes, missing):
                    told = [f"{self._name(node)}: {code}" for node, code in missing]
                    moved = self.traffic.close_round(work.phase, work.round)
                    self._run.close(work, len(nodes), told, moved)
                case Finish():
                    self._over = True
                case Abort(code, reason):
                    raise _ERRORS.get(code, FedehrError)(reason)

    def _request(self, node: int, work: WorkId, again: bool) -> Payload:
        """The base goes to a node once, and again only where it says that it lacks it."""
        with_base = bool(self._run.base_digest) and node not in self._was_sent_base
        if with_base:
            self._was_sent_base.add(node)
        return self._run.work(work, again=again, with_base=with_base)

    def _name(self, node: int) -> str:
        return self.site_names.get(node, f"node {node}")
