"""`Desk`: answers one request of any shape; what leaves has passed the gate and the outbox.

It never raises what a request could cause, but `TaskLostError` when the request is gone.
"""

import logging
from collections.abc import Callable

from fedehr_client.audit import events
from fedehr_client.audit.log import Audit
from fedehr_client.child.study_children import StudyChildren
from fedehr_client.contracts.admitted import Admitted
from fedehr_client.contracts.gate import ContractGate
from fedehr_client.contracts.refusals import Refusals, RefusedRequest
from fedehr_client.contracts.store import ContractStore
from fedehr_client.engine.errors import TaskLostError
from fedehr_client.engine.task import Task
from fedehr_client.node.folder import NodeFolder
from fedehr_client.outbox.answer_check import is_error
from fedehr_client.outbox.outbox import Outbox
from fedehr_client.supervision.availability import Availability
from fedehr_client.supervision.reckoning import Reckoning
from fedehr_client.worker.answer import Answer
from fedehr_client.worker.failure import WAITING_CODES, failure_of
from fedehr_client.worker.spent_note import SpentNote
from fedehr_client.worker.why_stop import WhyStop
from fedehr_shared.contract.requests import (
    End,
    EndAnswer,
    Proposal,
    ProposalAnswer,
    kind_of,
    without_contract,
)
from fedehr_shared.contract.study_contract import StudyContract
from fedehr_shared.errors import BusyError, ContractError, FedehrError
from fedehr_shared.wire.payload import Payload
from fedehr_shared.wire.work import WorkId

log = logging.getLogger("fedehr.client")

UNTRIED_CODES = WAITING_CODES | {
    "base_missing", "contract_missing", "storage", "vocabulary_missing",
}  # fmt: skip
"""The coordinator asks again, and no attempt is used up by them."""


class Desk:
    """The desk of one node."""

    def __init__(self, node: NodeFolder, why_end: Callable[[], str | None]) -> None:
        """Start nothing yet.

        Args:
            node: whose contracts, outbox and site file count.
            why_end: says so when the worker is to end.

        Raises:
            ConfigError: the site file is missing or wrong.
        """
        config = node.config()
        self._site = config.site.name
        self._audit = Audit(node.audit_file)
        self._store = ContractStore(node)
        self._gate = ContractGate(node)
        self._outbox = Outbox(node)
        self._refusals = Refusals(self._audit)
        self._availability = Availability(node)
        self._spent = SpentNote(self._audit, Reckoning(node, config.site.work))
        self._why_end = why_end
        self._asked: set[tuple[str, WorkId, int]] = set()
        self._ended: dict[tuple[str, int], str] = {}
        self._children = StudyChildren(
            node.site_file, config.site.work, config.limits, node.path / "logs" / "child.log"
        )

    def answer(self, task: Task, on_kind: Callable[[str], None] = lambda _kind: None) -> Answer:
        """Answer a request, by an error if need be.

        `on_kind` is told what it is before it is worked on.

        Raises:
            TaskLostError: the SuperNode took it back before it was read.
        """
        kind = ""

        def room(values: Payload) -> int:
            nonlocal kind
            kind = kind_of(values)
            on_kind(kind)
            return self._room(kind, values, task.run_id)

        try:
            request = task.request(room=room)
            if kind == "proposal":
                return self._propose(request)
            if kind == "end":
                return self._end(request, task.run_id)
            return self._work(request, task)
        except TaskLostError:
            raise
        except Exception as error:
            return self._failure(error, kind, task.run_id)

    def rest(self) -> None:
        """Between two tasks: a node that does not work now gives memory and GPU back."""
        warm = self._children.pids
        if warm and self._why_not_now() is not None:
            for study_digest in warm:
                self._children.forget(study_digest)

    def close(self) -> None:
        """End the processes that compute; from any thread."""
        self._children.close()

    def finish(self) -> None:
        """After the last request: write what was only counted, or is still being reckoned."""
        self._outbox.close()
        self._spent.close()

    def _room(self, kind: str, values: Payload, run_id: int) -> int:
        """Before a request's tensors are read: work alone has any, and only what may be done."""
        if kind != "work":
            return 0
        if (reason := self._why_not_now()) is not None:
            raise BusyError(reason)
        return self._gate.room(values, run_id)

    def _propose(self, request: Payload) -> Answer:
        proposal = Proposal.from_payload(request)
        known = self._store.receive(proposal.signed)
        answer = ProposalAnswer(self._site, known.told_state)
        said = f"proposal of {known.study.name} answered: {answer.state}"
        return Answer(self._outbox.seal_state(answer.to_payload()), said)

    def _end(self, request: Payload, run_id: int) -> Answer:
        end = End.from_payload(request)
        known = self._store.find(end.contract_digest)
        if known is None or all(run.run_id != run_id for run in known.runs):
            raise ContractError(
                f"the end of a run of {end.contract_digest[:12]} that this site does not know was "
                "told."
            )
        self._note_end(end, run_id)
        self._outbox.acknowledge(end.contract_digest)
        notice = self._outbox.seal_state(EndAnswer(self._site).to_payload())

        def on_sent() -> None:
            self._children.forget(known.study.digest)
            self._note_spent(known.contract, known.digest)

        return Answer(notice, f"end of {known.study.name} noted", on_sent=on_sent)

    def _work(self, request: Payload, task: Task) -> Answer:
        if (reason := self._why_not_now()) is not None:
            raise BusyError(reason)
        admitted = self._gate.admit(request, task.run_id, task.bundle_sha256)
        try:
            kept = self._outbox.kept(admitted)
            if kept is not None:
                return self._round(admitted, kept, "answered from what was kept")
            _require_unanswered(admitted)
            self._outbox.require_room(admitted)
            return self._computed(admitted, request)
        except Exception as error:
            sealed = self._outbox.seal_error(failure_of(error), admitted)
            return self._error(admitted, sealed)

    def _computed(self, admitted: Admitted, request: Payload) -> Answer:
        self._note_asked(admitted)
        log.info("%s begins", _name(admitted))
        asked = without_contract(request)
        why_stop = WhyStop(self._why_not_now, lambda: self._gate.why_stopped(admitted))
        computed = self._children.answer(admitted.study.digest, asked, why_stop)
        if (reason := self._gate.why_stopped(admitted)) is not None:
            raise ContractError(f"the answer was computed and does not leave: {reason}")
        sealed = self._outbox.seal(admitted, computed)
        if is_error(sealed):
            return self._error(admitted, sealed)
        return self._round(admitted, sealed, "answered")

    def _note_asked(self, admitted: Admitted) -> None:
        """Once: what a site answers by an error may be asked again as often as one likes."""
        asked = (admitted.contract_digest, admitted.work_id, admitted.run_id)
        if asked in self._asked:
            return
        events.round_asked(
            self._audit,
            contract=admitted.contract_digest,
            work=admitted.work_id,
            run_id=admitted.run_id,
            request=admitted.request_digest,
        )
        self._asked.add(asked)

    def _note_end(self, end: End, run_id: int) -> None:
        """Once, for the same reason.

        Raises:
            ContractError: the run was told to have ended with another model.
        """
        run = (end.contract_digest, run_id)
        told = self._ended.get(run)
        if told is not None and told != end.model_digest:
            raise ContractError("the end of a run was told twice, with another model each time.")
        if told is None:
            events.study_ended(self._audit, contract=end.contract_digest, model=end.model_digest)
            self._ended[run] = end.model_digest

    def _note_spent(self, contract: StudyContract, digest: str) -> None:
        if contract.subject_epsilon is not None:
            self._spent.write(digest)

    def _round(self, admitted: Admitted, payload: Payload, said: str) -> Answer:
        # Before it leaves: what is written afterwards may find the disk full.
        self._gate.answered(admitted)

        def on_sent() -> None:
            self._outbox.sent(admitted)
            self._note_spent(admitted.contract, admitted.contract_digest)

        said = f"{_name(admitted)} {said}"
        return Answer(payload, said, admitted.work_id, admitted.study.name, on_sent=on_sent)

    def _error(self, admitted: Admitted, payload: Payload) -> Answer:
        code = payload.text("error", "code")

        def on_sent() -> None:
            # It may have failed after it was charged.
            self._note_spent(admitted.contract, admitted.contract_digest)
            if code not in UNTRIED_CODES:
                contract, work_id = admitted.contract_digest, admitted.work_id
                events.round_refused(self._audit, contract=contract, work=work_id, code=code)
                self._gate.failed(admitted)

        said = f"{_name(admitted)} answered by the error '{code}'"
        return Answer(payload, said, error_code=code, on_sent=on_sent)

    def _failure(self, error: Exception, kind: str, run_id: int) -> Answer:
        if kind != "work":
            # What the gate refuses it writes down itself, and that a node is busy is no refusal.
            error = self._noted(error, kind, run_id)
        payload = self._outbox.seal_error(failure_of(error), None)
        code = payload.text("error", "code")
        said = f"{kind or 'a request of no known kind'} answered by the error '{code}'"
        return Answer(payload, said, error_code=code)

    def _noted(self, error: Exception, kind: str, run_id: int) -> Exception:
        """The refusal, once it is in the audit; or why it is not."""
        try:
            self._refusals.record(RefusedRequest(kind or "unknown", run_id=run_id), error)
        except FedehrError as unwritten:
            return unwritten
        return error

    def _why_not_now(self) -> str | None:
        return self._why_end() or self._availability.why_busy()


def _require_unanswered(admitted: Admitted) -> None:
    """A second answer would be another draw; the end of a run removes what was kept of the first.

    Raises:
        ContractError: an answer has left, and is not kept any more.
    """
    if admitted.is_answered:
        raise ContractError(
            f"{_name(admitted)} was answered, and its answer is not kept any more: no second one "
            "is computed."
        )


def _name(admitted: Admitted) -> str:
    work_id = admitted.work_id
    return f"{admitted.study.name} {work_id.phase}/{work_id.round}/{work_id.attempt}"
