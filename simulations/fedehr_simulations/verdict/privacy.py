"""What a study promises its subjects, and what of it no epsilon covers, as in a verdict."""

from typing import Annotated, Literal

from pydantic import Field

from fedehr_simulations.verdict.result import Finite, Part, Share, Text


class NotCoveredNumber(Part):
    """A kind of number that sites tell; see `fedehr_shared.privacy.not_covered`."""

    what: Text
    places: tuple[Text, ...]
    phases: tuple[Text, ...]
    """Empty: in all of them, as the engine sends it."""
    subjects: Text
    protection: Literal["cell_rule", "not_covered"]
    reason: Text


class PrivacyStatement(Part):
    """The claim, with all that a figure needs to mean something."""

    unit: Literal["subject", "site"]
    neighbors: Literal["add_or_remove_one"]
    """Neighboring data sets differ by one unit, added or removed."""
    epsilon: Annotated[Finite, Field(ge=0.0)]
    """Of the whole study's noisy training, by RDP: an upper bound."""
    delta: Share
    phases: tuple[Text, ...]
    words: Text
    not_covered: tuple[NotCoveredNumber, ...]
