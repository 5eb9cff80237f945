"""`Verdict`: a whole run, and the file `RUN/verdict.json`.

The file is checked against `verdict.schema.json` before it takes its name, so a script that
knows the schema can read every verdict that exists.
"""

import json
import os
import tempfile
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, ValidationError

from fedehr_shared.errors import FedehrError
from fedehr_simulations.verdict.machine import Machine
from fedehr_simulations.verdict.membership import MembershipAttack
from fedehr_simulations.verdict.privacy import PrivacyStatement
from fedehr_simulations.verdict.result import (
    ArmResult,
    Count,
    Finite,
    Interval,
    Metric,
    Part,
    Share,
    Text,
)

Epsilon = Annotated[Finite, Field(ge=0.0)]
SCHEMA_FILE = "verdict.schema.json"


class StudyName(Part):
    """Which study ran."""

    name: Text
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class SiteSummary(Part):
    """What a site brought; counts are null where the site withholds them."""

    name: Text
    num_subjects: Count | None
    num_events: Count | None
    unknown_code_share: Share | None
    """Share of events left as [UNK] after the back-off."""


class RoundBytes(Part):
    """Payload bytes of one message round, over all sites."""

    phase: Text
    round: Annotated[int, Field(ge=1)]
    up: Count
    down: Count
    base: Count = 0


class Traffic(Part):
    """Payload bytes of the federated arm's first seed; up is from site to server.

    `base` is the part of what went down that a site is sent once: the weights that no round
    trains.
    """

    up_per_site: dict[str, Count] = Field(default_factory=dict)
    down_per_site: dict[str, Count] = Field(default_factory=dict)
    base_per_site: dict[str, Count] = Field(default_factory=dict)
    per_round: tuple[RoundBytes, ...] = ()


class Comparison(Part):
    """`arm` minus `reference` on the same subjects, with a paired interval.

    `site` is left out where the subjects of all sites are pooled.
    """

    left_out_if_none: ClassVar[frozenset[str]] = frozenset({"site"})

    task: Text
    metric: Metric
    arm: Text
    reference: Text
    site: Text | None = None
    difference: Interval
    num_seeds: Annotated[int, Field(ge=1)]


class Verdict(Part):
    """What a run found."""

    format: Literal[1] = 1
    study: StudyName
    machine: Machine
    versions: dict[str, Text]
    seconds: Annotated[Finite, Field(ge=0.0)]
    min_cell: Annotated[int, Field(ge=1)] = 11
    """Figures on fewer positives or negatives than this are withheld."""
    sites: tuple[SiteSummary, ...]
    arms: dict[str, ArmResult]
    bytes: Traffic = Traffic()
    subject_epsilon: dict[str, Epsilon | None] = Field(default_factory=dict)
    """Spent on each subject, by site, by RDP, in the federated arm's first seed (`privacy` has the
    delta and the relation); null without noise of the site's own, or an answer that counted."""
    privacy: PrivacyStatement | None = None
    """What the study's noise promises, and what it does not; null without noise in training."""
    comparisons: tuple[Comparison, ...] = ()
    attacks: tuple[MembershipAttack, ...] = ()
    """On the models that the federated arm's first seed left."""

    @property
    def task_names(self) -> list[str]:
        """Tasks of any arm, in the order they first occur."""
        return list(dict.fromkeys(task for arm in self.arms.values() for task in arm.tasks))

    def to_json(self) -> str:
        """The text of `verdict.json`."""
        return json.dumps(self.model_dump(mode="json"), indent=2, allow_nan=False) + "\n"

    def write(self, path: Path) -> None:
        """Write `path`, whole or not at all.

        Raises:
            FedehrError: the verdict does not match its schema; nothing is written.
        """
        text = self.to_json()
        check_schema(json.loads(text))
        _write_atomically(path, text)

    @classmethod
    def read(cls, path: Path) -> "Verdict":
        """Read what `write` wrote.

        Raises:
            FedehrError: the file is missing, is not JSON or does not match the schema.
        """
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise FedehrError(f"cannot read the verdict {path}. Run the study again.") from error
        check_schema(value)
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            problem = error.errors(include_input=False, include_url=False)[0]
            raise FedehrError(f"{path} is no verdict: {problem['msg']}.") from error


def check_schema(value: Any) -> None:
    """Check a parsed `verdict.json` against the schema.

    Raises:
        FedehrError: it does not match; the message names the place.
    """
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    error = best_match(Draft202012Validator(load_schema()).iter_errors(value))
    if error is not None:
        place = "/".join(str(part) for part in error.absolute_path) or "the top"
        raise FedehrError(
            f"the verdict does not match {SCHEMA_FILE} at {place}: {error.message}. "
            "This is a fault of fedehr-sim; report it."
        )


@cache
def load_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of `verdict.json`."""
    text = files("fedehr_simulations").joinpath(SCHEMA_FILE).read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def _write_atomically(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    partial = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
