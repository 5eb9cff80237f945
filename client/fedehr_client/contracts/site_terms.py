"""What a contract must say to be this site's at all, whatever a person decides about it."""

from importlib.metadata import version

from fedehr_shared.contract.study_contract import StudyContract
from fedehr_shared.errors import ContractError


def require_for_site(contract: StudyContract, site: str) -> None:
    """Refuse a contract of other sites or of another engine.

    The version of fedehr is looked at first of all, where a contract is read.

    Raises:
        ContractError: saying which.
    """
    if site not in contract.sites:
        raise ContractError(
            f"the contract of '{contract.study.name}' names {len(contract.sites)} site(s), and "
            f"'{site}' is none of them. Ask the coordinator to sign one that names it."
        )
    installed = version("flwr")
    if contract.flwr_version != installed:
        raise ContractError(
            f"the contract is for flwr {contract.flwr_version}, and {installed} is installed here. "
            "Install the version that the coordinator has."
        )
