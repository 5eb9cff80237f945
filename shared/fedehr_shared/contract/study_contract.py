"""`StudyContract`: all that a study may ask of a site, in one canonical line of JSON.

The coordinator signs the line (`SignedContract`), a person at the site approves its digest, and
whatever asks for something else, or for more, is refused there. What follows from the study
(`StudyTerms`, and the bytes) is reckoned again by whoever reads it, so that a contract cannot
understate.
"""

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from fedehr_shared import __version__
from fedehr_shared.config.name import Name
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.contract.answer_bytes import answer_bytes, run_bytes
from fedehr_shared.contract.study_terms import StudyTerms
from fedehr_shared.errors import ConfigError, ContractError
from fedehr_shared.wire.work import Phase

FORMAT: Literal[1] = 1
"""Of the canonical JSON."""
CLOCK_SKEW = timedelta(minutes=5)
"""Two machines' clocks may differ by so much before a contract of one is refused at the other."""
MOST_CHARACTERS = 4_000_000
"""Of the JSON: a contract of 10,000 sites has less than a quarter of them."""
_TIME = "%Y-%m-%dT%H:%M:%SZ"

Count = Annotated[int, Field(ge=0, lt=2**53)]
Version = Annotated[str, Field(pattern=r"^[0-9A-Za-z.+!_-]{1,64}$")]
TensorName = Annotated[str, Field(min_length=1, max_length=500)]
Shape = Annotated[tuple[Annotated[int, Field(ge=0, lt=2**40)], ...], Field(max_length=8)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def _is_time(text: str) -> str:
    if datetime.strptime(text, _TIME).strftime(_TIME) != text:
        raise ValueError("is not a time like 2026-01-31T12:00:00Z")
    return text


UtcTime = Annotated[str, AfterValidator(_is_time)]
"""Whole seconds in UTC, like 2026-01-31T12:00:00Z."""


class StudyContract(StudyTerms):
    """What is signed, approved and held against every message."""

    format: Literal[1] = FORMAT
    study: StudyConfig
    fedehr_version: Version
    """Of the coordinator; a site of another version refuses."""
    flwr_version: Version
    """Of the coordinator's engine."""
    bundle_sha256: Sha256
    """Of the bundle that the engine hands to the sites, as the engine computes it."""
    coordinator: Annotated[str, Field(min_length=1, max_length=253)]
    """The name under which hospitals reach the coordinator."""
    sites: Annotated[tuple[Name, ...], Field(min_length=1, max_length=10_000)]
    """Who takes part, by name."""
    num_runs: Annotated[int, Field(ge=1, le=1_000)] = 1
    """How often the study may be run."""
    created: UtcTime
    deadline: UtcTime
    """After it nothing of the study is answered."""
    tensors: dict[Phase, dict[TensorName, Shape]]
    """By phase that trains, what an update may hold: shapes by name. A size of 0 stands for the
    vocabulary's number of tokens (`answer_bytes.shapes_with`); a round may hold fewer tensors."""
    max_codes: Annotated[int, Field(ge=0, le=10_000_000)]
    """That a site may name in its vocabulary answer, codes above others included."""
    max_tokens: Annotated[int, Field(ge=1, le=100_000_000)]
    """That the study's vocabulary may have."""
    max_answer_bytes: dict[Phase, Count]
    """By phase, of one answer (`Payload.num_bytes`) with a vocabulary of `max_tokens`."""
    max_run_bytes: Count
    """Of all answers of one run, each counted once."""

    @model_validator(mode="after")
    def _holds_together(self) -> "StudyContract":
        if list(self.sites) != sorted(set(self.sites)):
            raise ValueError("sites are not in order, or one is named twice")
        if self.deadline <= self.created:
            raise ValueError("the deadline is not after the contract was made")
        if len(self.sites) < self.study.federation.min_sites:
            raise ValueError("fewer sites are named than the study needs")
        return self

    @property
    def digest(self) -> str:
        """SHA-256 of `to_json`, in hexadecimal: what a person approves."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    @property
    def created_time(self) -> datetime:
        """With its time zone."""
        return time_of(self.created)

    @property
    def deadline_time(self) -> datetime:
        """With its time zone."""
        return time_of(self.deadline)

    def to_json(self) -> str:
        """One canonical line: the digest and the signature are over these bytes."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "StudyContract":
        """Read what `to_json` wrote, and nothing that differs from it by a byte.

        Raises:
            ContractError: it is no contract, of another format or version, or not canonical.
        """
        values = _object(text)
        _require_version(values)
        try:
            contract = cls.model_validate(values)
            # Two texts of one meaning would have two digests.
            is_canonical = contract.to_json() == text
        except (ValueError, ConfigError, RecursionError) as error:
            raise ContractError(
                "the contract is not one that this version of fedehr understands. Ask the "
                "coordinator to sign it again."
            ) from error
        if not is_canonical:
            raise ContractError("the contract's text is not in its canonical form.")
        return contract

    def require_terms(self) -> None:
        """Reckon what follows from the study, and compare.

        Raises:
            ContractError: the contract states something else.
            ConfigError: no noise keeps the study within its target.
        """
        self.require_of(self.study)
        bounds = answer_bytes(
            self.study, self.tensors, num_tokens=self.max_tokens, num_codes=self.max_codes
        )
        if self.max_answer_bytes != bounds or self.max_run_bytes != run_bytes(self.study, bounds):
            raise ContractError(
                "the contract's bytes are not those that its study and its tensors come to. It was "
                "refused."
            )

    def require_in_time(self, now: datetime) -> None:
        """Look at the clock.

        Raises:
            ContractError: the deadline has passed, or the contract is of tomorrow.
        """
        told = f"This machine's clock says {now.astimezone(UTC).strftime(_TIME)}"
        # No sum with a time of the contract, which may be the last that there is.
        if now - CLOCK_SKEW > self.deadline_time:
            raise ContractError(
                f"the contract ended at {self.deadline}. {told}. If that is right, ask the "
                "coordinator for a new contract; else set the clock."
            )
        if now + CLOCK_SKEW < self.created_time:
            raise ContractError(
                f"the contract was made at {self.created}, which is to come. {told}; "
                f"{CLOCK_SKEW.seconds // 60} minutes of difference are allowed. Set the clock that "
                "is wrong."
            )


def utc_text(time: datetime) -> str:
    """A time as contracts write it: whole seconds, UTC."""
    return time.astimezone(UTC).strftime(_TIME)


def time_of(text: str) -> datetime:
    """Read what `utc_text` wrote."""
    return datetime.strptime(text, _TIME).replace(tzinfo=UTC)


def _object(text: str) -> dict[str, object]:
    if len(text) > MOST_CHARACTERS:
        raise ContractError("the contract is longer than any contract. It was not read.")
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ContractError("the contract is not valid JSON. It was not read.") from error
    if not isinstance(values, dict):
        raise ContractError("the contract is not a JSON object. It was not read.")
    return values


def _require_version(values: dict[str, object]) -> None:
    """First: of another version the rest may not even be readable."""
    theirs = values.get("fedehr_version")
    if values.get("format") != FORMAT or theirs != __version__:
        raise ContractError(
            f"the contract is of fedehr {theirs!r:.40} (format {values.get('format')!r:.10}), and "
            f"here is {__version__} (format {FORMAT}). Both ends need the same version."
        )
