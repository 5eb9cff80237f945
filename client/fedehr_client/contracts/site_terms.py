"""What a contract must say to be this site's at all, whatever a person decides about it."""

from importlib.metadata import version

from fedehr_shared.contract.answer_bytes import NUM_TOKENS
from fedehr_shared.contract.study_contract import StudyContract
from fedehr_shared.errors import ContractError
from fedehr_shared.model.parameter_shapes import received_shapes
from fedehr_shared.wire.work import Phase

_TRAINING: tuple[Phase, ...] = ("pretraining", "finetuning")


def require_for_site(contract: StudyContract, site: str) -> None:
    """Refuse a contract of other sites, of another engine, or of tensors that its study has not.

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
    for phase in _TRAINING:
        told = contract.tensors.get(phase, {})
        own = received_shapes(contract.study, phase, NUM_TOKENS) if phase in contract.rounds else {}
        if told != own:
            odd = sorted(name for name in {*told, *own} if told.get(name) != own.get(name))
            raise ContractError(
                f"the contract's tensors of {phase} are not those of its study's model: {odd[:3]}. "
                "It was refused."
            )
