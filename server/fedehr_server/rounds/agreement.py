"""`Agreement`: the contract that a run is under, and which node may speak for which site."""

from dataclasses import dataclass

from fedehr_server.node_register import NodeRegister
from fedehr_shared.contract.requests import under_contract
from fedehr_shared.contract.signed_contract import SignedContract
from fedehr_shared.contract.study_contract import StudyContract
from fedehr_shared.errors import ContractError
from fedehr_shared.wire.payload import Payload


@dataclass(frozen=True)
class Agreement:
    """A simulation has neither of the two; a coordinator has both.

    Attributes:
        contract: as signed; None: requests name none.
        signed: the same with its signature.
        register: the sites' names by node; None: whatever a node calls itself.
    """

    contract: StudyContract | None = None
    signed: SignedContract | None = None
    register: NodeRegister | None = None

    @property
    def digest(self) -> str:
        """The contract's; empty without one."""
        return "" if self.contract is None else self.contract.digest

    def name_of(self, node: int) -> str | None:
        """The name under which a node is registered; None where nothing is known of it."""
        return None if self.register is None else self.register.name_of(node)

    def may_ask(self, node: int) -> bool:
        """Whether a node's site is named by the contract, as far as its name is known."""
        if self.contract is None or self.register is None:
            return True
        return self.name_of(node) in self.contract.sites

    def require_name(self, node: int, name: str) -> None:
        """Hold what a node calls itself against the register and the contract.

        Raises:
            ContractError: it speaks for another site, or for one that takes no part.
        """
        registered = self.name_of(node)
        if registered is not None and registered != name:
            raise ContractError(
                f"the node of site '{registered}' calls itself '{name}'. Its [site] name must be "
                "the one that it was registered by."
            )
        if self.contract is not None and name not in self.contract.sites:
            raise ContractError(f"site '{name}' is not named by the contract of the study.")

    def stamped(self, request: Payload, *, whole: bool) -> Payload:
        """A request of work as it is sent under the contract.

        Args:
            request: of work.
            whole: with the contract itself, not its digest alone.
        """
        if self.contract is None:
            return request
        return under_contract(request, self.digest, self.signed if whole else None)
