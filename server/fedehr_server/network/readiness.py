"""`require_ready`: what can be known to be wrong with a run before anything slow begins.

Drafting a contract and starting a run take the engine and PyTorch many seconds.
"""

from datetime import UTC, datetime

from fedehr_server.network.contract_shelf import ContractShelf
from fedehr_server.network.coordinator import CoordinatorFolder, require_name
from fedehr_server.network.enough_sites import require_enough_sites
from fedehr_server.network.sites import SiteRegister
from fedehr_server.network.superlink import SuperLink
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import ConfigError, UsageError


def require_ready(
    folder: CoordinatorFolder,
    study: StudyConfig,
    *,
    contract: str | None = None,
    num_sites: int | None = None,
    run: str | None = None,
) -> None:
    """Check that a run or a proposal of a study can begin.

    Args:
        folder: the coordinator's.
        study: the study.
        contract: the digest of the contract that it is to be under, or how that begins; None:
            whichever there is.
        num_sites: that the run is to wait for; None: all of its contract.
        run: its name; None: one that is made up.

    Raises:
        UsageError: the run's name is none or is taken, there is no such contract, or it names
            fewer sites than the run would wait for.
        ConfigError: the sites are too few for the study, or the contract's time is over.
        NetworkError: the SuperLink is not running.
    """
    if run is not None:
        require_free_name(folder, run)
    if num_sites is not None:
        require_enough_sites(study, num_sites, "the run would wait for")
    if contract is None:
        require_enough_sites(study, len(SiteRegister(folder).names()), "the coordinator knows")
    else:
        _require_good_contract(folder, study, contract, num_sites)
    SuperLink(folder).require_serving()


def require_free_name(folder: CoordinatorFolder, run: str) -> None:
    """Check that a run can have a name.

    Raises:
        UsageError: it is no name, or another run has it.
    """
    require_name(run)
    if (folder.submissions / f"{run}.json").exists():
        raise name_taken(run)


def name_taken(run: str) -> UsageError:
    """That there is a run of this name."""
    return UsageError(f"there is a run {run} already. Choose another --run name.")


def _require_good_contract(
    folder: CoordinatorFolder, study: StudyConfig, digest: str, num_sites: int | None
) -> None:
    found = ContractShelf(folder).take(digest)
    if num_sites is not None and num_sites > len(found.sites):
        raise UsageError(
            f"the run would wait for {num_sites} sites and its contract names {len(found.sites)}: "
            f"{', '.join(found.sites)}. Give a smaller --num-sites."
        )
    if datetime.now(UTC) > found.deadline_time:
        raise ConfigError(
            f"contract {found.digest[:12]} ended at {found.deadline}. Sign another with "
            f"`fedehr-server contract {folder.path} STUDY.toml`."
        )
    registered = set(SiteRegister(folder).names())
    there = [site for site in found.sites if site in registered]
    what = f"of those in contract {found.digest[:12]} the coordinator knows"
    require_enough_sites(study, len(there), what)
