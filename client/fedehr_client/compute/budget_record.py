"""`BudgetRecord`: a fit to memory that a site found once, for its later rounds and runs.

    <work>/token_budgets.json

Another budget adds up the same gradients in another order. So that a round done again gives the
same bits, it takes the budget that was found the first time.
"""

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

log = logging.getLogger("fedehr.client")

FILE_NAME = "token_budgets.json"
_MOST_ENTRIES = 64
"""Of the latest: studies differ in what their fit depends on, and may be proposed without end."""


@dataclass(frozen=True)
class Fit:
    """What fits into a site's memory.

    Attributes:
        token_budget: most tokens at once; None: a whole batch.
        checkpointing: whether activations are computed again.
    """

    token_budget: int | None
    checkpointing: bool


class BudgetRecord:
    """One entry of the file, by all that the fit depends on."""

    def __init__(self, work: Path | None, about: Mapping[str, object]) -> None:
        """`work`: the site's private folder; None: nothing is remembered."""
        self._file = work / FILE_NAME if work is not None else None
        text = json.dumps(about, sort_keys=True, default=str)
        self._key = hashlib.sha256(text.encode()).hexdigest()

    def read(self) -> Fit | None:
        """What was found, or None."""
        return self._entries().get(self._key)

    def write(self, fit: Fit) -> None:
        """Keep it; where the folder cannot be written, the log says so and training goes on."""
        if self._file is None:
            return
        entries = {key: asdict(kept) for key, kept in self._entries().items()}
        entries.pop(self._key, None)
        entries[self._key] = asdict(fit)
        entries = dict(list(entries.items())[-_MOST_ENTRIES:])
        partial = self._file.with_name(f".{FILE_NAME}.{os.getpid()}")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text(json.dumps(entries, indent=1), encoding="utf-8")
            partial.replace(self._file)
        except OSError as error:
            log.warning("cannot remember the token budget in %s: %s", self._file, error.strerror)

    def _entries(self) -> dict[str, Fit]:
        """All of the file; nothing where it is missing or damaged."""
        if self._file is None:
            return {}
        try:
            entries = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        if not isinstance(entries, dict):
            return {}
        fits = {key: _fit_of(entry) for key, entry in entries.items()}
        return {key: fit for key, fit in fits.items() if fit is not None}


def _fit_of(entry: object) -> Fit | None:
    """What an entry of the file says, or None where that is nothing of use."""
    if not isinstance(entry, dict):
        return None
    budget, checkpointing = entry.get("token_budget"), entry.get("checkpointing")
    is_count = type(budget) is int and budget > 0
    if not (budget is None or is_count) or not isinstance(checkpointing, bool):
        return None
    return Fit(budget, checkpointing)
