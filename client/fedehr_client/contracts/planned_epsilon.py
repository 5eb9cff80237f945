"""`PlannedEpsilon`: what a study would add to what the site's subjects have spent already."""

from collections import Counter
from dataclasses import dataclass

from fedehr_client.contracts.crossing import Crossing
from fedehr_client.ledger.ceiling import Ceiling
from fedehr_client.ledger.charge import Charge, planned_charges, spending_of
from fedehr_client.ledger.entry import Phase, Reserved
from fedehr_client.ledger.ledger_file import LedgerFile
from fedehr_client.ledger.spending import Spending
from fedehr_client.site import SiteConfig
from fedehr_shared.contract.study_contract import StudyContract


@dataclass(frozen=True)
class PlannedEpsilon:
    """Each subject's epsilon over all studies of the records, one subject added or removed.

    Attributes:
        delta: the site's, at which it is reckoned.
        spent: so far, this study included where it has begun.
        after: with all that the contract still allows.
        ceiling: the site's; None: there is none.
    """

    delta: float
    spent: float
    after: float
    ceiling: float | None

    @property
    def left(self) -> float | None:
        """Below the ceiling then; below 0 where it is crossed."""
        return None if self.ceiling is None else self.ceiling - self.after

    @property
    def crossing(self) -> Crossing | None:
        """Where the study does not fit."""
        if self.ceiling is None or self.after <= self.ceiling:
            return None
        return Crossing(
            "subject_epsilon",
            f"{self.ceiling:g}",
            f"an epsilon of {self.after:.4g} in all, {self.spent:.4g} of it spent before",
            "Raise it, or ask the coordinator for more noise or fewer rounds.",
        )


def planned_epsilon(contract: StudyContract, config: SiteConfig) -> PlannedEpsilon:
    """Reckon with the site's ledger.

    Raises:
        DataError: the ledger is damaged or cannot be read.
        ConfigError: no noise keeps the study within its target.
    """
    ceiling: Ceiling = config.ceilings.ceiling
    entries = LedgerFile(config.site.work, config.site.name).read()
    spent = Spending.of(entries)
    charged = Counter(
        (entry.phase, entry.round)
        for entry in entries
        if isinstance(entry, Reserved) and entry.study == contract.study.digest
    )
    after = spent.plus(spending_of(_left(contract, charged)))
    return PlannedEpsilon(
        delta=ceiling.subject_delta,
        spent=spent.subject_epsilon(ceiling.subject_delta),
        after=after.subject_epsilon(ceiling.subject_delta),
        ceiling=ceiling.subject_epsilon,
    )


def _left(contract: StudyContract, charged: Counter[tuple[Phase, int]]) -> list[Charge]:
    """Each round once a run; the vocabulary's noise is drawn once and then told again."""
    return [
        charge
        for charge in planned_charges(contract.study)
        for _ in range(
            (1 if charge.phase == "vocabulary" else contract.num_runs)
            - charged[charge.phase, charge.round]
        )
    ]
