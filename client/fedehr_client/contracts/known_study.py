"""`KnownStudy`: a contract that the site holds, what was decided about it, what it was used for."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Literal

from fedehr_client.contracts.run_progress import RunProgress
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.contract.signed_contract import SignedContract
from fedehr_shared.contract.study_contract import StudyContract

State = Literal["waiting", "approved", "refused", "revoked"]
FORMAT = 1


@dataclass(frozen=True)
class Decision:
    """What a person decided.

    Attributes:
        state: from then on.
        time: when, in UTC.
        by: the login name of who did.
        note: what they wrote beside it.
    """

    state: State
    time: str
    by: str
    note: str = ""


@dataclass(frozen=True)
class KnownStudy:
    """One contract at a site.

    Attributes:
        signed: as it came.
        contract: what it says.
        received: when, in UTC.
        decisions: the oldest first.
        runs: the oldest first.
    """

    signed: SignedContract
    contract: StudyContract
    received: str
    decisions: tuple[Decision, ...] = ()
    runs: tuple[RunProgress, ...] = ()

    @property
    def state(self) -> State:
        """By the latest decision."""
        return self.decisions[-1].state if self.decisions else "waiting"

    @property
    def told_state(self) -> Literal["waiting", "approved", "refused"]:
        """As the coordinator is told it: that an approval was taken back is the site's own."""
        return "refused" if self.state == "revoked" else self.state

    def shown_state(self, now: datetime) -> str:
        """For a person: `expired` too."""
        is_over = now > self.contract.deadline_time and self.state in {"waiting", "approved"}
        return "expired" if is_over else self.state

    @property
    def digest(self) -> str:
        """Of the contract."""
        return self.contract.digest

    @property
    def study(self) -> StudyConfig:
        """The contract's."""
        return self.contract.study

    @property
    def num_rounds(self) -> int:
        """Of one run, all phases together."""
        return sum(self.contract.rounds.values())

    @property
    def num_rounds_answered(self) -> int:
        """Of all runs."""
        return sum(run.num_answered for run in self.runs)

    def decided(self, decision: Decision) -> "KnownStudy":
        """With one more decision."""
        return replace(self, decisions=(*self.decisions, decision))

    def to_dict(self) -> dict[str, Any]:
        """As it stands in its file."""
        return {
            "format": FORMAT,
            "signed": dict(self.signed.to_values()),
            "received": self.received,
            "decisions": [asdict(decision) for decision in self.decisions],
            "runs": [asdict(run) for run in self.runs],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "KnownStudy":
        """Read what `to_dict` gave; the signature is not looked at.

        Raises:
            ContractError: the contract is not one of this version.
            KeyError, TypeError, ValueError, WireError: it is no such thing.
        """
        if values["format"] != FORMAT:
            raise ValueError("another format")
        signed = SignedContract.from_values(values["signed"])
        return cls(
            signed=signed,
            contract=StudyContract.from_json(signed.text),
            received=str(values["received"]),
            decisions=tuple(Decision(**each) for each in values["decisions"]),
            runs=tuple(RunProgress.from_dict(each) for each in values["runs"]),
        )
