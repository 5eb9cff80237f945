"""`Ledger`: one site's account of privacy, over all studies of its records.

What is charged stays charged: a round that crashed, an update that never left, a study that was
given up, a subject who was erased since. The account is kept for the records as a whole, as for
the one subject who took part in all of it.
"""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from fedehr_client.ledger.ceiling import Ceiling
from fedehr_client.ledger.charge import Charge, spending_of
from fedehr_client.ledger.entry import Entry, Noted, Phase, Reserved, new_id, now
from fedehr_client.ledger.ledger_file import LedgerFile
from fedehr_client.ledger.spending import Spending
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import BudgetError
from fedehr_shared.privacy.noisy_steps import NoisySteps


class Ledger:
    """The ledger of one work folder, under the site's ceiling."""

    def __init__(self, work: Path, ceiling: Ceiling, site: str) -> None:
        """Nothing is read or written yet.

        Args:
            work: the site's private folder.
            ceiling: what its studies may spend.
            site: the site's name.
        """
        self._file = LedgerFile(work, site)
        self._ceiling = ceiling

    def reserve(self, study: StudyConfig, charge: Charge) -> None:
        """Charge a round that is about to be drawn; it is on the disk when this returns.

        Raises:
            BudgetError: it would pass the site's ceiling; nothing was charged.
            DataError: the ledger is damaged or cannot be written; nothing may be drawn.
        """
        entry = Reserved(
            id=new_id(),
            time=now(),
            study=study.digest,
            name=study.name,
            phase=charge.phase,
            round=charge.round,
            noise_multiplier=float(charge.steps.noise_multiplier),
            sample_rate=float(charge.steps.sample_rate),
            num_steps=charge.steps.num_steps,
            naming_delta=charge.naming_delta,
            delta=charge.delta,
        )
        with self._file.opened() as ledger:
            what = f"round {charge.round} of {charge.phase} of the study '{study.name}'"
            self._require(ledger.entries, Spending.of([entry]), what)
            ledger.add([entry])
        self._file.studies.keep(study)

    def require_affordable(self, study: StudyConfig, charges: Iterable[Charge]) -> None:
        """Refuse a study that the site could not answer to its end; charge nothing.

        Args:
            study: the study.
            charges: all that it is still going to cost.

        Raises:
            BudgetError: with the numbers.
            DataError: the ledger is damaged or cannot be read.
        """
        self._require(self._file.read(), spending_of(charges), f"the whole study '{study.name}'")

    def note(
        self, study: StudyConfig, phase: Phase, event: Literal["begin", "end", "unprotected"]
    ) -> None:
        """Write down, once, that a study begins or ends, or trains a phase without noise.

        Raises:
            DataError: the ledger is damaged or cannot be written.
        """
        if _is_noted(self._file.read(), study.digest, phase, event):
            return
        with self._file.opened() as ledger:
            note = Noted(
                id=new_id(),
                time=now(),
                event=event,
                study=study.digest,
                name=study.name,
                phase=phase,
            )
            ledger.add([note])
        self._file.studies.keep(study)

    def entries(self) -> tuple[Entry, ...]:
        """Every line, oldest first.

        Raises:
            DataError: the ledger is damaged or cannot be read.
        """
        return self._file.read()

    def history(self) -> tuple[NoisySteps, ...]:
        """All that was charged, equal steps added up."""
        return Spending.of(self._file.read()).history

    def spent(self) -> float:
        """Epsilon of all that was charged, at the site's own delta."""
        return Spending.of(self._file.read()).subject_epsilon(self._ceiling.subject_delta)

    def _require(self, entries: Sequence[Entry], planned: Spending, what: str) -> None:
        most, delta = self._ceiling.subject_epsilon, self._ceiling.subject_delta
        if most is None:
            return
        spent = Spending.of(entries)
        after = spent.plus(planned).subject_epsilon(delta)
        if after <= most:
            return
        raise BudgetError(
            f"{what} would bring the subjects' epsilon from {spent.subject_epsilon(delta):.4g} to "
            f"{_told(after)}, and the site's ceiling is {most:g} (delta {delta:g}, one subject "
            "added or removed). Nothing was trained or charged. `fedehr-client budget` shows what "
            "was spent; the ceiling is [ceilings] subject_epsilon in site.toml."
        )


def _is_noted(entries: Sequence[Entry], study: str, phase: str, event: str) -> bool:
    """Whether the newest line of this kind says the same: a study may begin and end again."""
    own = [entry for entry in entries if not isinstance(entry, Reserved) and _is_of(entry, study)]
    if event == "unprotected":
        return any(isinstance(e, Noted) and (e.event, e.phase) == (event, phase) for e in own)
    turns = [e.event for e in own if isinstance(e, Noted) and e.event != "unprotected"]
    return turns[-1:] == [event]


def _is_of(entry: Entry, study: str) -> bool:
    return getattr(entry, "study", None) == study


def _told(epsilon: float) -> str:
    return f"{epsilon:.4g}" if math.isfinite(epsilon) else "infinity, delta being used up"
