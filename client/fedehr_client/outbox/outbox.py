"""`Outbox`: the gate that each answer passes, the receipt that it leaves, and what is kept.

    <node>/outbox/receipts/<id>.json           what each answer was, and what became of it
    <node>/outbox/sent/<day>.jsonl             everything that left, errors too
    <node>/outbox/kept/<contract>/<id>.answer  finished answers, until the next is asked for
    <node>/outbox/reserve                      room for error lines on a full disk

First the answer is written, then its receipt, then the line that it leaves: a crash between two
of them leaves what is sent again, or what is removed, and nothing sent without a receipt.
"""

import logging
import secrets
from datetime import UTC, datetime, timedelta

from fedehr_client.audit import events
from fedehr_client.audit.log import Audit
from fedehr_client.contracts.admitted import Admitted
from fedehr_client.node.folder import NodeFolder
from fedehr_client.outbox.answer_check import ERROR, AnswerCheck, error_code, is_error
from fedehr_client.outbox.new_receipt import new_receipt, stopped_receipt
from fedehr_client.outbox.receipt import MAY_LEAVE, Receipt, TensorRecord, Verdict, utc_now
from fedehr_client.outbox.records_time import records_time
from fedehr_client.outbox.reserve import RESERVE_BYTES
from fedehr_client.outbox.sealed_bytes import SealedBytes
from fedehr_client.outbox.sendings import Sending
from fedehr_client.outbox.shelf import Shelf
from fedehr_client.outbox.vocabulary_check import SiteCodes
from fedehr_client.room import require_room
from fedehr_client.site import SiteConfig
from fedehr_shared.contract.answer_bytes import answer_bytes
from fedehr_shared.contract.requests import EndAnswer, ProposalAnswer, kind_of
from fedehr_shared.errors import (
    BusyError,
    ContractError,
    DataError,
    FedehrError,
    HeldError,
    PolicyError,
    WireError,
)
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.wire.payload import Payload
from fedehr_shared.wire.reports import ErrorReport
from fedehr_shared.wire.work import WorkId

log = logging.getLogger("fedehr.client")

MOST_SENDINGS = 100
"""Of one answer: each has a line of its own, however often a coordinator asks for the same."""
_DAY = timedelta(hours=24)


class Outbox:
    """The outbox of one node; one process seals. People decide by `Decisions`."""

    def __init__(self, node: NodeFolder) -> None:
        """Nothing is read or written yet."""
        self._node = node
        self._audit = Audit(node.audit_file)
        self._shelf = Shelf(node)
        self._told_reference = ""

    def kept(self, admitted: Admitted) -> Payload | None:
        """The answer to exactly this request, where it is finished; None: it is to be computed.

        Answers to other requests of the contract are over, and are removed; so is one that is
        older than the records, which a subject may have left since.

        Raises:
            HeldError: it waits for a person.
            PolicyError: a person refused it.
            BusyError: the bytes of the day are spent; it stays kept.
            ContractError: it was sent too often.
            ConfigError: the site file cannot be read.
            DataError: the outbox cannot be read or written; nothing leaves.
        """
        with self._shelf.alone():
            receipt = self._shelf.receipt_of(admitted)
            if receipt is None:
                return None
            if receipt.verdict == "refused":
                raise PolicyError("a person at the site refused to let this answer leave.")
            if self._is_outdated(receipt):
                log.warning("the kept answer %s is older than the records: not sent", receipt.id)
                self._shelf.drop(receipt.contract, receipt.id)
                return None
            if receipt.verdict == "held":
                raise _held(receipt)
            sealed = self._shelf.kept.find(receipt)
            if sealed is None or receipt.verdict not in MAY_LEAVE:
                log.warning("the kept answer %s is damaged: it is computed anew", receipt.id)
                self._shelf.kept.drop(receipt.contract, receipt.id)
                return None
            if self._is_to_be_held(receipt):
                self._shelf.receipts.write(receipt.with_verdict("held"))
                raise self._told_held(receipt, admitted)
            return self._let_go(receipt, sealed.payload, admitted)

    def seal(self, admitted: Admitted, answer: Payload) -> Payload:
        """Check an answer, write its receipt, keep it, and give what may leave.

        An error of the process that computes passes too, with a reference of its own.

        Raises:
            WireError: it holds anything that the study does not let leave; it was stopped.
            ContractError: it is more than the contract allows; it was stopped.
            HeldError: it waits for a person.
            BusyError: the bytes of the day are spent; it is kept.
            ConfigError: the site file cannot be read.
            DataError: the outbox cannot be written; nothing leaves.
        """
        if is_error(answer):
            return self._computed_error(admitted, answer)
        with self._shelf.alone():
            self._shelf.make_ready()
            config = self._node.config()
            sealed, records = self._checked(admitted, answer, config)
            verdict: Verdict = "held" if config.outbox.hold else "passed"
            receipt = new_receipt(admitted, config, sealed, records, verdict)
            self._shelf.kept.keep(receipt, sealed)
            self._shelf.receipts.write(receipt)
            if verdict == "held":
                raise self._told_held(receipt, admitted)
            return self._let_go(receipt, sealed.payload, admitted)

    def require_room(self, admitted: Admitted) -> None:
        """Before an answer is computed: whether it could be kept, however large it may be.

        Else the work would be done in vain, at each asking anew while the disk is full.

        Raises:
            StorageError: it could not.
            DataError: the outbox cannot be written.
        """
        require_room(self._node.outbox, _most_bytes(admitted) + RESERVE_BYTES)

    def sent(self, admitted: Admitted) -> None:
        """Write into the audit that the engine has taken the answer.

        Raises:
            DataError: the outbox cannot be read, or the audit not written.
        """
        with self._shelf.alone():
            receipt = self._shelf.receipt_of(admitted)
        if receipt is not None:
            events.round_answered(
                self._audit,
                contract=receipt.contract,
                work=admitted.work_id,
                receipt=receipt.id,
                num_bytes=receipt.num_bytes,
                sha256=receipt.sha256,
            )

    def acknowledge(self, contract_digest: str) -> None:
        """Remove what is kept under a contract: the coordinator has it, or wants it no more.

        Raises:
            DataError: it cannot be removed.
        """
        with self._shelf.alone():
            for name in self._shelf.kept.names(contract_digest):
                self._shelf.drop(contract_digest, name)
            if contract_digest in self._shelf.kept.contracts():
                self._shelf.kept.drop_all(contract_digest)

    def seal_error(self, failure: Payload, admitted: Admitted | None) -> Payload:
        """A reply that tells of a failure, once its line is written or it is counted.

        Where the disk is so full that the reserve is used up, the line waits in memory and is the
        first to be written; an error says nothing, and silence would block the node.

        Args:
            failure: a documented code and a random reference.
            admitted: what was asked, where the gate let it in.

        Raises:
            WireError: it holds anything else.
        """
        code = error_code(failure)
        reference = str(failure.values[ERROR]["reference"])
        if reference != self._told_reference:
            self._shelf.tell(_error_line(failure, admitted, code, reference))
        return failure

    def seal_state(self, notice: Payload) -> Payload:
        """What the site says of a proposal or an end: its name, and what was decided.

        Raises:
            WireError: it holds anything else.
            ConfigError: the site file cannot be read.
            DataError: its line cannot be written.
        """
        kind = kind_of(notice)
        told = ProposalAnswer.from_payload(notice) if kind == "proposal" else None
        site = told.site if told is not None else EndAnswer.from_payload(notice).site
        if site != self._node.config().site.name:
            raise WireError("a notice names another site than this one. It was stopped.")
        state = "ended" if told is None else told.state
        with self._shelf.alone():
            self._shelf.tell_notice(Sending(utc_now(), "notice", notice.num_bytes, state=state))
        return notice

    def bytes_since(self, time: datetime) -> int:
        """Bytes that left since then, of all studies together, as ceilings count them.

        Raises:
            DataError: the account cannot be read.
        """
        return self._shelf.sendings.bytes_since(time) + self._shelf.num_counted_bytes

    def close(self) -> None:
        """Before the process ends: write what it has only counted."""
        self._shelf.tell_counted()

    def _checked(
        self, admitted: Admitted, answer: Payload, config: SiteConfig
    ) -> tuple[SealedBytes, dict[str, TensorRecord]]:
        """The answer in order and what its tensors are; one that may not leave is written down."""
        try:
            sealed = SealedBytes.of(answer)
            records = self._check(admitted, config).check(sealed.payload)
            self._require_room_in_contract(admitted, sealed.payload.num_bytes)
        except (DataError, OSError):
            raise
        except Exception as error:
            fault = error if isinstance(error, FedehrError) else _unreadable(error)
            self._stop(admitted, config, answer, str(fault))
            if fault is error:
                raise
            raise fault from error
        return sealed, records

    def _check(self, admitted: Admitted, config: SiteConfig) -> AnswerCheck:
        codes = SiteCodes(SiteFolder(config.site.records))
        return AnswerCheck(admitted, config.site.name, config.ceilings.min_cell, codes)

    def _is_to_be_held(self, receipt: Receipt) -> bool:
        """It waited for the bytes of the day, and meanwhile people want to look at answers."""
        is_asked = self._node.config().outbox.hold and receipt.verdict == "passed"
        return is_asked and not self._shelf.sendings.has_left(receipt.contract, receipt.id)

    def _told_held(self, receipt: Receipt, admitted: Admitted) -> HeldError:
        named = {"contract": receipt.contract, "receipt": receipt.id}
        events.answer_held(self._audit, work=admitted.work_id, **named)
        return _held(receipt)

    def _is_outdated(self, receipt: Receipt) -> bool:
        records = SiteFolder(self._node.config().site.records)
        return records_time(records) > datetime.fromisoformat(receipt.time)

    def _require_room_in_contract(self, admitted: Admitted, num_bytes: int) -> None:
        contract = admitted.contract
        most = contract.max_run_bytes * contract.num_runs
        spent = self._shelf.sendings.answer_bytes(admitted.contract_digest)
        if spent + num_bytes > most:
            raise ContractError(
                f"with this answer the study would have sent {spent + num_bytes:,} bytes, and its "
                f"contract allows {most:,}. It was stopped."
            )

    def _stop(self, admitted: Admitted, config: SiteConfig, answer: Payload, reason: str) -> None:
        receipt = stopped_receipt(admitted, config, answer, reason)
        self._shelf.receipts.write(receipt)
        named = {"contract": receipt.contract, "receipt": receipt.id}
        events.answer_stopped(self._audit, work=admitted.work_id, **named)

    def _let_go(self, receipt: Receipt, payload: Payload, admitted: Admitted) -> Payload:
        """The answer, once the line is written that it leaves."""
        num = self._shelf.sendings.num_sent(receipt.contract, receipt.id)
        if num >= MOST_SENDINGS:
            raise ContractError(
                f"answer {receipt.id} has left {num} times, and no line needs it so often. It is "
                "not sent again; ask the coordinator why it was asked for."
            )
        most = self._node.config().ceilings.max_bytes_per_day
        if most is not None:
            spent = self.bytes_since(datetime.now(UTC) - _DAY)
            if spent + payload.num_bytes > most:
                raise BusyError(
                    f"{spent:,} bytes have left in 24 hours, and with {payload.num_bytes:,} more "
                    f"it would be above [ceilings] max_bytes_per_day = {most:,}. The answer waits."
                )
        self._shelf.write_waiting()
        self._shelf.sendings.add(
            Sending(
                time=utc_now(),
                kind="answer",
                num_bytes=payload.num_bytes,
                contract=receipt.contract,
                work=_work(admitted.work_id),
                receipt=receipt.id,
            )
        )
        return payload

    def _computed_error(self, admitted: Admitted, answer: Payload) -> Payload:
        """With a reference drawn here: one from elsewhere could be any 16 digits."""
        code = error_code(answer)
        inner = str(answer.values[ERROR]["reference"])
        self._told_reference = secrets.token_hex(8)
        log.error("reference %s of the process that computes leaves as %s", inner,
                  self._told_reference)  # fmt: skip
        failure = ErrorReport(code, self._told_reference).to_payload()
        self._shelf.tell(_error_line(failure, admitted, code, self._told_reference, inner))
        return failure


def _most_bytes(admitted: Admitted) -> int:
    """Of the answer: its contract's bound, for the vocabulary that the run has."""
    contract, phase = admitted.contract, admitted.work_id.phase
    bounds = answer_bytes(
        contract.study,
        contract.tensors,
        num_tokens=admitted.num_tokens,
        num_codes=contract.max_codes,
    )
    return bounds[phase]


def _error_line(
    failure: Payload, admitted: Admitted | None, code: str, reference: str, inner: str = ""
) -> Sending:
    return Sending(
        time=utc_now(),
        kind="error",
        num_bytes=failure.num_bytes,
        contract="" if admitted is None else admitted.contract_digest,
        work="" if admitted is None else _work(admitted.work_id),
        code=code,
        reference=reference,
        inner=inner,
    )


def _held(receipt: Receipt) -> HeldError:
    return HeldError(
        f"answer {receipt.id} waits: `fedehr-client outbox show DIR {receipt.id}`, then release "
        "or refuse it."
    )


def _unreadable(error: Exception) -> WireError:
    return WireError(f"an answer could not be read ({type(error).__name__}). It was stopped.")


def _work(work_id: WorkId) -> str:
    return f"{work_id.phase}/{work_id.round}/{work_id.attempt}"
