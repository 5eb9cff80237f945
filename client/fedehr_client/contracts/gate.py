"""`ContractGate`: every request for work passes it before anything is done for it.

What depends on records, and what privacy was spent, is for the process that computes to judge.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from fedehr_client.audit.log import Audit
from fedehr_client.contracts.admitted import Admitted
from fedehr_client.contracts.crossing import crossings
from fedehr_client.contracts.known_study import KnownStudy
from fedehr_client.contracts.received_tensors import require_tensors
from fedehr_client.contracts.refusals import Refusals, RefusedRequest
from fedehr_client.contracts.request_bytes import request_bytes
from fedehr_client.contracts.request_parts import RequestParts
from fedehr_client.contracts.run_progress import AskedRound, RunProgress, with_round
from fedehr_client.contracts.store import ContractStore
from fedehr_client.contracts.training_subjects import TrainingSubjects
from fedehr_client.node.folder import NodeFolder
from fedehr_client.site import SiteConfig
from fedehr_shared.contract.requests import CONTRACT, contract_of
from fedehr_shared.errors import (
    BusyError,
    ContractError,
    ContractMissingError,
    FedehrError,
    NotApprovedError,
    PolicyError,
    VocabularyMissingError,
    WireError,
)
from fedehr_shared.wire.payload import Payload
from fedehr_shared.wire.work import WorkId

_Found = TypeVar("_Found")
_DAY = timedelta(hours=24)
_SHA256 = re.compile(r"[0-9a-f]{64}")


class ContractGate:
    """The gate of one node."""

    def __init__(
        self, node: NodeFolder, bytes_since: Callable[[datetime], int] | None = None
    ) -> None:
        """Nothing is read or written yet.

        Args:
            node: whose contracts and ceilings count.
            bytes_since: how many bytes of answers have left since a time; None: the outbox says.
        """
        self._node = node
        self._store = ContractStore(node)
        self._refusals = Refusals(Audit(node.audit_file))
        self._bytes_since = bytes_since
        self._subjects: dict[str, TrainingSubjects] = {}
        self._rooms: dict[str, int] = {}

    def admit(self, request: Payload, run_id: int, bundle_sha256: str) -> Admitted:
        """Hold a request for work against its contract, and bind its round to its content.

        That is on the disk when this returns: whatever happens then, no other content of the
        round is admitted. Each refusal is in the audit.

        Args:
            request: as it came.
            run_id: the engine's.
            bundle_sha256: of the bundle that came with it, as the engine computes it.

        Raises:
            ContractMissingError: the site does not hold the contract; it is to be sent along.
            NotApprovedError: nobody has decided yet.
            ContractError: the contract does not allow the request.
            PolicyError: the study was refused here, or crosses a ceiling.
            BusyError: the bytes of the day are spent.
            VocabularyMissingError: the run's vocabulary is to be sent along.
            WireError: the request is malformed.
            ConfigError: the site file or the authority's certificate cannot be read.
            DataError: a contract's file or the audit cannot be read or written.
        """
        return self._recorded(
            request,
            run_id,
            lambda known: self._admitted(known, request, run_id, bundle_sha256),
        )

    def room(self, values: Payload, run_id: int) -> int:
        """How many bytes of tensors a request for work may bring, by its values alone.

        What nobody has approved brings none that are read. `admit` looks at all of it again.

        Args:
            values: the request without its tensors.
            run_id: the engine's.

        Raises:
            ContractMissingError, NotApprovedError, ContractError, PolicyError, WireError,
            ConfigError, DataError: as `admit`.
        """
        return self._recorded(values, run_id, self._room)

    def _room(self, known: KnownStudy) -> int:
        known.contract.require_in_time(datetime.now(UTC))
        _require_approved(known)
        if known.digest not in self._rooms:
            self._rooms[known.digest] = request_bytes(known.contract)
        return self._rooms[known.digest]

    def _recorded(
        self, request: Payload, run_id: int, act: Callable[[KnownStudy], _Found]
    ) -> _Found:
        """Act on a request's contract; a refusal is in the audit then."""
        told = RefusedRequest("work", run_id=run_id)
        try:
            contract, work = _named(request)
            told = replace(told, contract=contract, work=work)
            known = self._known(request)
            told = replace(told, study=known.study.name)
            return act(known)
        except Exception as error:
            self._refusals.record(told, error)
            raise

    def why_stopped(self, admitted: Admitted) -> str | None:
        """Why work that was admitted may not go on, nor its answer leave; None where it may.

        An approval can be revoked, and a deadline pass, while a round is computed.
        """
        try:
            known = self._store.find(admitted.contract_digest)
            if known is None:
                return "the study's contract was removed"
            _require_approved(known)
            known.contract.require_in_time(datetime.now(UTC))
        except FedehrError as error:
            return str(error)
        return None

    def answered(self, admitted: Admitted) -> None:
        """Write down that the answer to a round leaves: from then on there is no other.

        Raises:
            ContractError, DataError: the contract's file cannot be read or written.
        """
        self._change(admitted, RunProgress.answered)

    def failed(self, admitted: Admitted) -> None:
        """Write down that an attempt was answered by an error that is no waiting: it is used up.

        Raises:
            ContractError, DataError: the contract's file cannot be read or written.
        """
        attempt = admitted.work_id.attempt
        self._change(admitted, lambda run: run.failed(attempt))

    def _known(self, request: Payload) -> KnownStudy:
        """The contract that a request names, kept first where it was sent along."""
        if CONTRACT not in request.values.get("work", {}):
            raise ContractError("a request for work names no contract. It was refused.")
        digest, signed = contract_of(request)
        if signed is not None:
            sent = self._store.receive(signed)
            if sent.digest != digest:
                raise ContractError("a request brings another contract than the one it names.")
        known = self._store.find(digest)
        if known is None:
            raise ContractMissingError("the site does not hold this study's contract yet.")
        return known

    def _admitted(
        self, known: KnownStudy, request: Payload, run_id: int, bundle_sha256: str
    ) -> Admitted:
        contract = self._store.verified(known.signed)
        _require_approved(known)
        if contract.bundle_sha256 != bundle_sha256:
            raise ContractError(
                f"the bundle that came with the request is {bundle_sha256[:12]}, and the contract "
                f"names {contract.bundle_sha256[:12]}. It was neither unpacked nor kept."
            )
        parts = RequestParts.of(request, contract)
        config = self._node.config()
        self._require_ceilings(known, config)
        self._require_bytes(config)
        asked = self._asked(known, request, parts, run_id)
        # Before the tensors are read: what may not come at all costs little.
        with_round(known.runs, asked, contract)
        require_tensors(request, contract, parts.work_id, asked.num_tokens)
        bound = self._bind(known.digest, asked)
        return Admitted(
            contract=contract,
            contract_digest=known.digest,
            study=contract.study,
            work_id=parts.work_id,
            request_digest=asked.request_digest,
            run_id=run_id,
            num_tokens=asked.num_tokens,
            is_answered=bound.is_answered,
        )

    def _asked(
        self, known: KnownStudy, request: Payload, parts: RequestParts, run_id: int
    ) -> AskedRound:
        num_tokens = parts.num_tokens(known.contract)
        if num_tokens is None and parts.work_id.phase != "vocabulary":
            num_tokens = _known_tokens(known, run_id, parts.vocabulary_digest)
        return AskedRound(
            run_id=run_id,
            work_id=parts.work_id,
            request_digest=parts.content_digest(request, known.digest),
            vocabulary_digest=parts.vocabulary_digest,
            num_tokens=num_tokens or 0,
            time=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def _bind(self, digest: str, asked: AskedRound) -> RunProgress:
        """Read anew under the lock: an approval may have been revoked meanwhile."""
        with self._store.files.alone():
            known = self._store.find(digest)
            if known is None:
                raise ContractMissingError("the study's contract was removed meanwhile.")
            _require_approved(known)
            runs = with_round(known.runs, asked, known.contract)
            if runs != known.runs:
                self._store.files.write(replace(known, runs=runs))
            return runs[-1]

    def _change(self, admitted: Admitted, change: Callable[[RunProgress], RunProgress]) -> None:
        with self._store.files.alone():
            known = self._store.find(admitted.contract_digest)
            if known is None or not known.runs:
                return
            latest = known.runs[-1]
            if latest.run_id != admitted.run_id or not latest.is_at(admitted.work_id):
                return
            runs = (*known.runs[:-1], change(latest))
            if runs != known.runs:
                self._store.files.write(replace(known, runs=runs))

    def _require_ceilings(self, known: KnownStudy, config: SiteConfig) -> None:
        """At each message: the site file may have changed since the approval."""
        num_subjects = None
        if config.ceilings.min_subjects is not None:
            records = config.site.records
            counter = self._subjects.setdefault(str(records), TrainingSubjects(records))
            num_subjects = counter.count()
        found = crossings(known.contract, config.ceilings, num_subjects)
        if found:
            raise PolicyError(str(found[0]))

    def _require_bytes(self, config: SiteConfig) -> None:
        """An answer that is too large for what is left of a day waits in the outbox."""
        most = config.ceilings.max_bytes_per_day
        if most is None:
            return
        sent = self._sent_since(datetime.now(UTC) - _DAY)
        if sent >= most:
            raise BusyError(
                f"{sent:,} bytes have left in 24 hours: [ceilings] max_bytes_per_day = {most:,} "
                "lets the next round wait."
            )

    def _sent_since(self, time: datetime) -> int:
        if self._bytes_since is None:
            from fedehr_client.outbox.outbox import Outbox

            self._bytes_since = Outbox(self._node).bytes_since
        return self._bytes_since(time)


def _require_approved(known: KnownStudy) -> None:
    name, digest = known.study.name, known.digest[:12]
    if known.state == "waiting":
        raise NotApprovedError(f"nobody has decided about the study '{name}' ({digest}) yet.")
    if known.state != "approved":
        raise PolicyError(f"the study '{name}' ({digest}) was {known.state} here.")


def _known_tokens(known: KnownStudy, run_id: int, vocabulary_digest: str) -> int:
    """Of the vocabulary that the run's earlier round brought."""
    for run in known.runs:
        if run.run_id == run_id and run.vocabulary_digest == vocabulary_digest and run.num_tokens:
            return run.num_tokens
    raise VocabularyMissingError("the site does not hold this study's vocabulary yet.")


def _named(request: Payload) -> tuple[str, str]:
    """The contract and the round that a request says it is of; empty where it does not."""
    work = request.values.get("work", {})
    contract, work_id = work.get(CONTRACT), work.get("work_id")
    told = contract if isinstance(contract, str) and _SHA256.fullmatch(contract) else ""
    try:
        parsed = WorkId.parse(work_id if isinstance(work_id, str) else "")
    except WireError:
        return told, ""
    return told, f"{parsed.phase}/{parsed.round}/{parsed.attempt}"
