"""`conduct`: joins the state machine to a transport until the study ends."""

import time

from fedehr_server.progress import ProgressLog
from fedehr_server.rounds.absences import Absences
from fedehr_server.rounds.agreement import Agreement
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
    PushLater,
)
from fedehr_server.rounds.farewell import tell_end
from fedehr_server.rounds.machine import WAITING_CODES, StudyMachine, plan_of
from fedehr_server.rounds.waiting import WaitingPushes
from fedehr_server.study_run import StudyRun
from fedehr_server.traffic import Traffic
from fedehr_server.transport import Absence, Transport
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.contract.requests import End
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
    StorageError,
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
        MissingTaskError, NetworkError, NotApprovedError, PolicyError, StorageError,
        TooFewSubjectsError, TrainingError, UsageError, VocabularyMissingError, WireError,
    )
}  # fmt: skip


_KEPT_NO_BASE = {
    BaseMissingError.code, BusyError.code, NotApprovedError.code, StorageError.code,
    VocabularyMissingError.code,
}  # fmt: skip

_REFUSALS = {ContractError.code, PolicyError.code}
"""Of a site that answered nothing else: it never began with the run, and knows of no end."""


class Conductor:
    """Runs one study over a transport."""

    def __init__(
        self,
        study: StudyConfig,
        run: StudyRun,
        transport: Transport,
        log: ProgressLog,
        num_sites: int,
        *,
        agreement: Agreement | None = None,
    ) -> None:
        self._study = study
        self._agreement = agreement or Agreement()
        self._run = run
        self._transport = transport
        self._log = log
        self._machine = StudyMachine(study.digest, plan_of(study), study.federation, num_sites)
        self.site_names: dict[int, str] = {}
        self.traffic = Traffic()
        self._asked: dict[int, Push] = {}
        self._was_sent_base: set[int] = set()
        self._sizes: dict[int, int] = {}
        self._waiting = WaitingPushes()
        self._absences = Absences()
        self._told: dict[int, str] = {}
        self._left_out: set[int] = set()
        self.bound: set[int] = set()
        self._deadline = time.monotonic() + study.federation.join_deadline_seconds
        self._over = False

    def conduct(self) -> None:
        """Run to the end.

        Raises:
            FedehrError: the study could not go on; the class carries the exit code.
        """
        try:
            while not self._over:
                self._carry_out(self._next_actions())
        except FedehrError:
            self._tell_end()
            raise
        self._tell_end()

    @property
    def contract_digest(self) -> str:
        """Of the contract that the run is under; empty without one."""
        return self._agreement.digest

    def _next_actions(self) -> list[Action]:
        actions: list[Action]
        if self._machine.is_joining:
            actions = self._machine.handle(NodesSeen(self._allowed(self._transport.nodes())))
        else:
            actions = self._due()
            actions += [
                action
                for node, payload in self._transport.pull()
                for action in self._answer(node, payload)
            ]
        if not actions and time.monotonic() > self._deadline:
            actions = self._machine.handle(DeadlinePassed())
        if not actions:
            self._transport.wait()
        return actions

    def _due(self) -> list[Action]:
        """What was held back and may be pushed now: to a node that is away once it is there."""
        due = self._waiting.take_due()
        if not any(self._absences.is_away(push.node) for push in due):
            return [*due]
        connected = self._transport.nodes()
        return [
            PushLater(push.node, push.work)
            if push.node not in connected and self._absences.may_return(push.node)
            else push
            for push in due
        ]

    def _answer(self, node: int, payload: Payload | Absence | None) -> list[Action]:
        # One request, one answer: a second one must not be added up.
        asked = self._asked.pop(node, None)
        if asked is None:
            return []
        if isinstance(payload, Absence):
            if self._waits_for(node, asked.work):
                return [PushLater(node, asked.work)]
            payload = None
        else:
            self._absences.answered(node)
        code = self._taken(node, asked, payload)
        if code is None:
            return self._machine.handle(Answered(node, asked.work))
        if code["code"] in _KEPT_NO_BASE:
            self._was_sent_base.discard(node)
        self._tell_failure(node, asked.work, code)
        return self._machine.handle(Failed(node, asked.work, code["code"]))

    def _waits_for(self, node: int, work: WorkId) -> bool:
        """Whether a node that is not connected is asked the same again, as the same attempt."""
        was_away = self._absences.is_away(node)
        if not self._absences.may_return(node):
            return False
        if not was_away:
            where = {"phase": work.phase, "round": work.round, "site": self._name(node)}
            self._log.write("site_waits", **where, code=NetworkError.code, reference="")
        return True

    def _tell_failure(self, node: int, work: WorkId, code: dict[str, str]) -> None:
        """A site that goes on waiting for the same is told of once."""
        is_waiting = code["code"] in WAITING_CODES
        if is_waiting and self._told.get(node) == code["code"]:
            return
        self._told[node] = code["code"]
        self._log.write(
            "site_waits" if is_waiting else "site_error",
            phase=work.phase,
            round=work.round,
            site=self._name(node),
            **code,
        )

    def _who_failed(self) -> str:
        """What each site that has not answered since said last; the machine knows no names."""
        said = sorted(f"{self._name(node)}: {code}" for node, code in self._told.items())
        return f" Last said: {', '.join(said)}." if said else ""

    def _taken(self, node: int, asked: Push, payload: Payload | None) -> dict[str, str] | None:
        """Use the answer; None, or the code and reference of why it could not be used."""
        if payload is None:
            return {"code": "network", "reference": ""}
        self.traffic.up[node] += payload.num_bytes
        try:
            if "error" in payload.values:
                report = ErrorReport.from_payload(payload)
                if report.code != NotApprovedError.code:
                    self.bound.add(node)
                return {"code": report.code, "reference": report.reference}
            self.bound.add(node)
            self._keep_name(node, payload.text("report", "site"))
            self._run.accept(asked.work, payload)
        except (WireError, ContractError) as error:
            return {"code": error.code, "reference": "", "reason": str(error)}
        self._told.pop(node, None)
        return None

    def _keep_name(self, node: int, name: str) -> None:
        """A node speaks for one site through the whole study, and no other node for it; where
        sites are registered, for that which it was registered as."""
        self._agreement.require_name(node, name)
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
                    self._waiting.forget()
                    self._run.open(work, len(nodes))
                case Push(node, work, again):
                    self._asked[node] = action
                    request = self._request(node, work, again)
                    self._sizes[node] = request.num_bytes
                    self.traffic.sent(node, request)
                    self._transport.push(node, request)
                case PushLater(node):
                    if self._absences.is_away(node):
                        self._waiting.hold_shortly(action)
                    else:
                        self._waiting.hold(action, self._sizes[node])
                case Close(work, nodes, missing):
                    told = [f"{self._name(node)}: {code}" for node, code in missing]
                    moved = self.traffic.close_round(work.phase, work.round)
                    self._run.close(work, len(nodes), told, moved)
                    self._require_size(work)
                case Finish():
                    self._over = True
                case Abort(code, reason):
                    raise _ERRORS.get(code, FedehrError)(reason + self._who_failed())

    def _request(self, node: int, work: WorkId, again: bool) -> Payload:
        """The base goes to a node once, and again only where it says that it lacks it."""
        with_base = bool(self._run.base_digest) and node not in self._was_sent_base
        if with_base:
            self._was_sent_base.add(node)
        request = self._run.work(work, again=again, with_base=with_base)
        return self._agreement.stamped(request, whole=again or work.round == 1)

    def _allowed(self, nodes: frozenset[int]) -> frozenset[int]:
        """Without those that the contract does not name; each is told of once."""
        allowed = frozenset(node for node in nodes if self._agreement.may_ask(node))
        for node in sorted(nodes - allowed - self._left_out):
            self._log.write("not_in_contract", site=self._name(node))
        self._left_out |= nodes - allowed
        return allowed

    def _require_size(self, work: WorkId) -> None:
        """A vocabulary beyond the contract is no round's to send: every site would refuse it."""
        contract = self._agreement.contract
        if work.phase != "vocabulary" or contract is None:
            return
        if self._run.num_tokens > contract.max_tokens:
            raise ContractError(
                f"the vocabulary came to {self._run.num_tokens} tokens, and the contract allows "
                f"{contract.max_tokens}. Sign another with `fedehr-server contract --max-tokens`."
            )

    def _tell_end(self) -> None:
        """Never fails: the run is over, whoever hears of it."""
        nodes = {node for node in self.bound if not self._only_refused(node)}
        if self._agreement.contract is None or not nodes:
            return
        try:
            end = End(self._agreement.digest, self._run.model_digest)
            heard = tell_end(self._transport, nodes, end)
        except Exception as error:  # whatever a transport raises, the study has ended
            self._log.write("end_untold", reason=type(error).__name__)
            return
        self._log.write("ended_at_sites", sites=[self._name(node) for node in heard])

    def _only_refused(self, node: int) -> bool:
        return node not in self.site_names and self._told.get(node) in _REFUSALS

    def _name(self, node: int) -> str:
        named = self.site_names.get(node) or self._agreement.name_of(node)
        return named or f"node {node}"
