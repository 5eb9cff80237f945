"""`Finding`: one line of the doctor's."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """What a finding means."""

    OK = "ok"
    WARN = "warn"
    """Worth a look; the node works."""
    FAIL = "fail"
    """The node does not work until it is mended."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: for programs.
        verdict: what it means.
        text: what was found, with its value; never a record's content, never a password.
        mend: the line that mends it: a command, or who must do what.
        figures: the numbers behind it.
    """

    name: str
    verdict: Verdict
    text: str
    mend: str | None = None
    figures: dict[str, float | int | str | bool | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """A failure says how it is mended.

        Raises:
            ValueError: it does not.
        """
        if self.verdict is Verdict.FAIL and not self.mend:
            raise ValueError(f"the failure '{self.name}' has no line that mends it")

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "name": self.name,
            "verdict": self.verdict.value,
            "text": self.text,
            "mend": self.mend,
            "figures": self.figures,
        }


def ok(name: str, text: str, **figures: float | str | bool | None) -> Finding:
    """Nothing to do."""
    return Finding(name, Verdict.OK, text, None, figures)


def warn(name: str, text: str, mend: str, **figures: float | str | bool | None) -> Finding:
    """Worth a look."""
    return Finding(name, Verdict.WARN, text, mend, figures)


def fail(name: str, text: str, mend: str, **figures: float | str | bool | None) -> Finding:
    """To be mended first."""
    return Finding(name, Verdict.FAIL, text, mend, figures)
