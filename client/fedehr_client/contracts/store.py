"""`ContractStore`: the contracts that a site holds, and what its people decide about them."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from fedehr_client.audit import events
from fedehr_client.audit.log import Audit
from fedehr_client.contracts.contract_files import ContractFiles
from fedehr_client.contracts.known_study import Decision, KnownStudy, State
from fedehr_client.contracts.site_terms import require_for_site
from fedehr_client.node.folder import NodeFolder
from fedehr_shared.contract.signed_contract import SignedContract
from fedehr_shared.contract.study_contract import StudyContract
from fedehr_shared.errors import ConfigError, ContractError, DataError, UsageError

_MOST_WAITING = 200
"""Contracts that nobody has decided about: beyond them no new one is taken, or whoever may sign
could fill the disk."""
MOST_WAITING_CHARACTERS = 1_000_000
"""Of the text of a contract that nobody has decided about: one of 10,000 sites has fewer."""
_LEAST_PREFIX = 4


class ContractStore:
    """The contracts of one node."""

    def __init__(self, folder: NodeFolder) -> None:
        """Nothing is read or written yet."""
        self.node = folder
        self.files = ContractFiles(folder.contracts)
        self._audit = Audit(folder.audit_file)

    def verified(self, signed: SignedContract) -> StudyContract:
        """A contract of the coordinator's that is for this site, here and now.

        Raises:
            ContractError: with what is wrong.
            ConfigError: the site file or the authority's certificate cannot be read.
        """
        config = self.node.config()
        contract = signed.verify(_authority(self.node), datetime.now(UTC))
        require_for_site(contract, config.site.name)
        return contract

    def faults(self, known: KnownStudy) -> tuple[str, ...]:
        """Why a contract does not hold here and now; nothing where it does.

        Raises:
            ConfigError: the site file or the authority's certificate cannot be read.
        """
        try:
            self.verified(known.signed)
        except ContractError as error:
            return (str(error),)
        return ()

    def receive(self, signed: SignedContract) -> KnownStudy:
        """Keep a contract for a person to decide about; what is known stays as it was decided.

        Raises:
            ContractError: it is not the coordinator's, not for this site, too long, or one too
                many.
            ConfigError: the site file or the authority's certificate cannot be read.
            DataError: it cannot be written.
        """
        contract = self.verified(signed)
        with self.files.alone():
            known = self.files.read(contract.digest)
            if known is not None and known.signed == signed:
                return known
            if known is None:
                self._require_room(signed)
                known = KnownStudy(signed, contract, _now())
                named = {"contract": known.digest, "study": known.study.name}
                events.contract_received(self._audit, **named)
                self.files.write(known)
            else:
                # Signed anew, as with a new certificate: the same text.
                known = replace(known, signed=signed)
                self.files.write(known)
        return known

    def find(self, contract_digest: str) -> KnownStudy | None:
        """By the whole digest; None where the site does not hold it.

        Raises:
            ContractError: it is of another version of fedehr.
            DataError: its file is damaged or cannot be read.
        """
        return self.files.read(contract_digest)

    def all(self) -> list[KnownStudy]:
        """All that can be read, the latest received first; see `unreadable`."""
        found = [known for known in map(self._read, self.files.digests()) if known is not None]
        return sorted(found, key=lambda known: (known.received, known.digest), reverse=True)

    def unreadable(self) -> dict[str, str]:
        """By digest, why a contract that is there cannot be used."""
        found: dict[str, str] = {}
        for digest in self.files.digests():
            try:
                self.files.read(digest)
            except (ContractError, DataError) as error:
                found[digest] = str(error)
        return found

    def named(self, name: str) -> KnownStudy:
        """By the beginning of its digest, or by the name of its study where one alone has it.

        Raises:
            UsageError: there is none, or several; they are listed.
        """
        known = self.all()
        by_name = [each for each in known if each.study.name == name]
        is_prefix = len(name) >= _LEAST_PREFIX
        by_digest = [each for each in known if is_prefix and each.digest.startswith(name)]
        found = by_digest or by_name
        if len(found) == 1:
            return found[0]
        if found:
            told = ", ".join(f"{each.digest[:12]} ({each.state})" for each in found)
            raise UsageError(f"several contracts go by '{name}': {told}. Give the digest.")
        for digest, reason in self.unreadable().items():
            if is_prefix and digest.startswith(name):
                raise UsageError(reason)
        raise UsageError(
            f"the site holds no study '{name}': `fedehr-client studies {self.node.path}` lists "
            f"them by name and digest ({_LEAST_PREFIX} characters of it are enough)."
        )

    def approve(self, contract_digest: str, by: str, note: str = "") -> KnownStudy:
        """Let the study work here.

        Raises:
            UsageError: there is no such contract.
            ContractError: it does not hold, or is over.
            DataError: it cannot be written.
        """
        known = self._required(contract_digest)
        self.verified(known.signed)
        return self._decide(contract_digest, "approved", by, note)

    def refuse(self, contract_digest: str, by: str, note: str = "") -> KnownStudy:
        """Let the study never work here.

        Raises:
            UsageError, DataError: as `approve`.
        """
        return self._decide(contract_digest, "refused", by, note)

    def revoke(self, contract_digest: str, by: str, note: str = "") -> KnownStudy:
        """Take an approval back: the study's next message is refused.

        Raises:
            UsageError: there is no such contract, or it is not approved.
            DataError: it cannot be written.
        """
        return self._decide(contract_digest, "revoked", by, note)

    def _decide(self, contract_digest: str, state: State, by: str, note: str) -> KnownStudy:
        with self.files.alone():
            known = self._required(contract_digest)
            if known.state == state:
                return known
            if state == "revoked" and known.state != "approved":
                raise UsageError(
                    f"study '{known.study.name}' is {known.state}: there is no approval to revoke."
                )
            decided = known.decided(Decision(state, _now(), by, note))
            named = {"contract": known.digest, "study": known.study.name}
            # First the audit: nothing is approved that it does not tell of.
            _EVENTS[state](self._audit, **named, by=by, note=note)
            self.files.write(decided)
        return decided

    def _required(self, contract_digest: str) -> KnownStudy:
        known = self.files.read(contract_digest)
        if known is None:
            raise UsageError(f"the site holds no contract {contract_digest[:12]}.")
        return known

    def _read(self, digest: str) -> KnownStudy | None:
        try:
            return self.files.read(digest)
        except (ContractError, DataError):
            return None

    def _require_room(self, signed: SignedContract) -> None:
        if len(signed.text) > MOST_WAITING_CHARACTERS:
            raise ContractError(
                f"the contract has {len(signed.text):,} characters, and one that waits for a "
                f"decision may have {MOST_WAITING_CHARACTERS:,}. It was not kept."
            )
        waiting = self.files.num_waiting()
        if waiting >= _MOST_WAITING:
            raise ContractError(
                f"{waiting} contracts wait for a decision here: no further one was taken. Approve "
                "or refuse some."
            )


_EVENTS: dict[str, Callable[..., None]] = {
    "approved": events.contract_approved,
    "refused": events.contract_refused,
    "revoked": events.contract_revoked,
}


def _authority(node: NodeFolder) -> bytes:
    network = node.config().network
    file: Path = network.contract_authority or network.root_certificates
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"cannot read {file}, which says who may sign contracts: {error.strerror}. Ask the "
            "coordinator for its ca.crt."
        ) from error


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
