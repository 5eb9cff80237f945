"""`approve_study`: a person's yes, held against the site's ceilings first."""

from fedehr_client.contracts.known_study import KnownStudy
from fedehr_client.contracts.store import ContractStore
from fedehr_client.contracts.study_facts import StudyFacts
from fedehr_shared.errors import PolicyError, UsageError


def approve_study(store: ContractStore, digest: str, *, by: str, note: str = "") -> KnownStudy:
    """Approve a contract that crosses no ceiling.

    Args:
        store: of the node.
        digest: of the contract.
        by: who approves.
        note: kept beside it.

    Raises:
        PolicyError: it crosses ceilings; each is named with what to do.
        UsageError: there is no such contract.
        ContractError: it does not hold here and now.
        DataError: a file cannot be read or written.
    """
    known = store.find(digest)
    if known is None:
        raise UsageError(f"the site holds no contract {digest[:12]}.")
    store.verified(known.signed)
    crossed = StudyFacts.of(known, store.node.config()).crossings
    if crossed:
        listed = "\n".join(f"  {crossing}" for crossing in crossed)
        raise PolicyError(f"study '{known.study.name}' was not approved:\n{listed}")
    return store.approve(digest, by, note)
