"""A proposal: the contract of a study, brought to the nodes; sites' states come back."""

import time
from pathlib import Path

from fedehr_server.network.contract_draft import ContractWishes, draft_contract
from fedehr_server.network.contract_shelf import ContractShelf
from fedehr_server.network.coordinator import CoordinatorFolder
from fedehr_server.network.submission import Submission, launch
from fedehr_server.run_order import RunOrder
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.contract.study_contract import StudyContract
from fedehr_shared.errors import UsageError

SECONDS = 600.0
"""A proposal that has no result by then is stopped."""


def contract_for(
    folder: CoordinatorFolder, study: StudyConfig, bundle: Path | None = None
) -> tuple[StudyContract, bool]:
    """The newest contract that a run of the study can be under, or a new one; True: it is new.

    Args:
        folder: the coordinator's.
        study: the study.
        bundle: another bundle's `pyproject.toml`; the installed one by default.

    Raises:
        ConfigError: sites are too few, or no noise keeps the study within its target.
        DataError: the vocabulary that the study re-uses is not there.
    """
    shelf = ContractShelf(folder)
    found = shelf.newest_for(study, bundle)
    if found is not None:
        return found, False
    drafted = draft_contract(folder, study, ContractWishes(), bundle)
    shelf.sign(drafted)
    return drafted, True


def contract_named(
    folder: CoordinatorFolder, study: StudyConfig, digest: str | None
) -> tuple[StudyContract, bool]:
    """The contract of this digest, or without one `contract_for`; True: it is new.

    Raises:
        UsageError: there is no such contract, or it is of another study.
        ConfigError, DataError: see `contract_for`.
    """
    if digest is None:
        return contract_for(folder, study)
    contract = ContractShelf(folder).take(digest)
    if contract.study != study:
        raise UsageError(
            f"the contract {contract.digest[:12]} is of another study, or of another version of "
            f"this one. Sign one with `fedehr-server contract {folder.path} STUDY.toml`."
        )
    return contract, False


def submit_proposal(
    folder: CoordinatorFolder,
    study: StudyConfig,
    contract: StudyContract,
    bundle: Path | None = None,
) -> Submission:
    """Start a run that brings a contract to the nodes; its result has each site's `states`.

    Asking again changes nothing at a site, and tells what was decided meanwhile.

    Args:
        folder: the coordinator's.
        study: the contract's.
        contract: signed and kept.
        bundle: another bundle's `pyproject.toml`; the installed one by default.

    Raises:
        NetworkError: the SuperLink is down or refused.
    """
    stamp = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{time.time_ns() % 1_000_000:06d}"
    name = f"propose-{study.name[:32]}-{stamp}"
    order = RunOrder(study.digest, len(contract.sites), contract.digest, "proposal")
    run_id = launch(folder, name, study, order, bundle)
    return Submission(name, run_id, len(contract.sites), folder.runs / name)
