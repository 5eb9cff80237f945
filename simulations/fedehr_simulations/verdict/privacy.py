"""What a study promises its subjects, and what of it no epsilon covers, as in a verdict."""

from typing import Annotated, Literal

from pydantic import Field

from fedehr_simulations.verdict.result import Count, Finite, Part, Share, Text

Epsilon = Annotated[Finite, Field(ge=0.0)]


class NotCoveredNumber(Part):
    """A kind of number that sites tell; see `fedehr_shared.privacy.not_covered`."""

    what: Text
    places: tuple[Text, ...]
    phases: tuple[Text, ...]
    """Empty: in all of them, as the engine sends it."""
    subjects: Text
    protection: Literal["cell_rule", "not_covered"]
    reason: Text


class EpsilonFigures(Part):
    """What noisy steps cost a unit, by both accounts."""

    epsilon: Epsilon
    """By RDP: an upper bound, and what ledgers go by."""
    optimistic: Epsilon
    """By privacy losses: the true one is not below it."""
    pessimistic: Epsilon
    """By privacy losses: the true one is not above it."""


class WithVocabulary(EpsilonFigures):
    """Of training and the noisy vocabulary together, at a delta of their own."""

    delta: Share


class SpentPrivacy(EpsilonFigures):
    """What a unit has spent in a run: by the rounds whose answers counted (`local`), or that the
    coordinator closed (`central`)."""

    num_rounds: Count
    with_vocabulary: WithVocabulary | None = None


class PrivacyStatement(Part):
    """The claim, with all that a figure needs to mean something."""

    unit: Literal["subject", "site"]
    neighbors: Literal["add_or_remove_one"]
    """Neighboring data sets differ by one unit, added or removed."""
    epsilon: Epsilon
    """Of the whole study's noisy training, by RDP: an upper bound."""
    delta: Share
    phases: tuple[Text, ...]
    words: Text
    not_covered: tuple[NotCoveredNumber, ...]
    spent: dict[str, SpentPrivacy] = Field(default_factory=dict)
    """By site, at `delta`: of the federated arm's first seed, as its record says. A site without
    an answer that counted is absent; its own ledger decides."""
