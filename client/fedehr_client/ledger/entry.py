"""`Entry`: what one line of the ledger says.

Numbers that no honest line holds are refused: a ledger that counted them would count too little.
"""

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from fedehr_shared.config.name import Name
from fedehr_shared.config.section import Section
from fedehr_shared.errors import DataError
from fedehr_shared.privacy.noisy_steps import NoisySteps

_MOST = 1_000_000_000
Count = Annotated[int, Field(strict=True, ge=1, le=_MOST)]
Phase = Literal["vocabulary", "pretraining", "finetuning", "evaluation"]


class _Line(Section):
    """What every line has: `id` is random, and the same in a backup."""

    id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    time: Annotated[str, Field(max_length=40)]
    """By the machine's clock, for people alone: nothing goes by it."""


class Opened(_Line):
    """The first line of a ledger: whose it is."""

    event: Literal["open"] = "open"
    site: Name


class Reserved(_Line):
    """Noisy steps that are charged, whether or not they were taken."""

    event: Literal["reserve"] = "reserve"
    study: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    name: Name
    phase: Phase
    round: Count
    noise_multiplier: Annotated[float, Field(strict=True, gt=0, le=_MOST)]
    sample_rate: Annotated[float, Field(strict=True, gt=0, le=1)]
    num_steps: Count
    naming_delta: Annotated[float, Field(strict=True, ge=0, lt=1)] = 0.0
    """The chance that the vocabulary names a code of one subject alone; on top of the noise."""
    delta: Annotated[float, Field(strict=True, gt=0, lt=1)]
    """That the study states; the ledger reckons at the site's own."""

    @property
    def steps(self) -> NoisySteps:
        """As an account adds them up."""
        return NoisySteps(self.noise_multiplier, self.sample_rate, self.num_steps)


class Noted(_Line):
    """What costs nothing: a study begins or ends here, or trains without noise in a phase."""

    event: Literal["begin", "end", "unprotected"]
    study: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    name: Name
    phase: Phase


Entry = Opened | Reserved | Noted
_ENTRY: TypeAdapter[Entry] = TypeAdapter(Annotated[Entry, Field(discriminator="event")])


def new_id() -> str:
    """A fresh `id`."""
    return secrets.token_hex(16)


def now() -> str:
    """A `time`."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def entry_of(content: Mapping[str, Any], source: str) -> Entry:
    """Read a line's content, without the hash that chains it.

    Raises:
        DataError: it holds what no ledger writes; `source` names the line.
    """
    try:
        return _ENTRY.validate_python(content)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        key = ".".join(map(str, problem["loc"])) or "the line"
        raise DataError(
            f"{source}: {key} is wrong ({problem['msg']}). The ledger cannot be relied on, so that "
            "nothing is trained or sent: restore it from a backup, or use the fedehr version that "
            "wrote it."
        ) from error
