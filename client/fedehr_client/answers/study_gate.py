"""`StudyGate`: what a site asks of a study before it does any work for it."""

from fedehr_client.ledger.charge import (
    planned_charges,
    round_charge,
    unprotected_phases,
    vocabulary_charge,
)
from fedehr_client.ledger.entry import Phase
from fedehr_client.ledger.ledger import Ledger
from fedehr_client.locator import SiteLocation
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import PolicyError


class StudyGate:
    """One site's bounds, and its ledger, for one study."""

    def __init__(self, study: StudyConfig, location: SiteLocation) -> None:
        """Nothing is read or written yet."""
        self._study = study
        self._location = location
        self._ledger = Ledger(location.work, location.ceiling, location.name)

    def require_allowed(self) -> None:
        """Refuse a study that the site file excludes.

        Raises:
            PolicyError: its `min_cell` is below the site's, or it trains without noise here.
        """
        asked, floor = self._study.vocabulary.min_cell, self._location.min_cell
        if asked < floor:
            raise PolicyError(
                f"the study asks for min_cell = {asked}, this site's floor is {floor}. Raise "
                "[vocabulary] min_cell in the study."
            )
        phases = unprotected_phases(self._study)
        if self._location.ceiling.require_privacy and phases:
            raise PolicyError(
                f"the study '{self._study.name}' has {' and '.join(phases)} without noise at the "
                "site, and [ceilings] require_privacy = true in site.toml excludes that. Give the "
                "study [privacy] mechanism = 'local' with these phases."
            )

    def begin(self, *, is_vocabulary_drawn: bool) -> None:
        """Refuse a study that cannot be answered to its end within the site's budget.

        Args:
            is_vocabulary_drawn: the vocabulary's noise was drawn, and charged, before.

        Raises:
            BudgetError: with the numbers.
            ConfigError: no noise keeps the study within its target.
            DataError: the ledger is damaged or cannot be written.
        """
        charges = planned_charges(self._study)
        if not charges:
            return
        if is_vocabulary_drawn:
            charges = [charge for charge in charges if charge.phase != "vocabulary"]
        self._ledger.require_affordable(self._study, charges)
        self._ledger.note(self._study, "vocabulary", "begin")

    def charge_vocabulary(self) -> None:
        """Charge a vocabulary's noise, which is drawn next.

        Raises:
            BudgetError, DataError: see `Ledger.reserve`; nothing may be drawn.
        """
        charge = vocabulary_charge(self._study)
        if charge is not None:
            self._ledger.reserve(self._study, charge)

    def charge_round(self, phase: Phase, round_number: int) -> None:
        """Charge a round of training, which begins next; without noise, write that down.

        Raises:
            BudgetError, ConfigError, DataError: see `Ledger.reserve`; nothing may be trained.
        """
        charge = round_charge(self._study, phase, round_number)
        if charge is None:
            self._ledger.note(self._study, phase, "unprotected")
        else:
            self._ledger.reserve(self._study, charge)

    def end(self) -> None:
        """Write down that the study has come to its evaluation.

        Raises:
            DataError: the ledger is damaged or cannot be written.
        """
        if planned_charges(self._study):
            self._ledger.note(self._study, "evaluation", "end")
