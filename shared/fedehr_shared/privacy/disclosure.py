"""`Disclosure`: a number or a text that leaves a site, and what protects the subjects in it."""

from dataclasses import dataclass
from typing import Literal, get_args

from fedehr_shared.config.study import StudyConfig
from fedehr_shared.wire.work import Phase

Protection = Literal["epsilon", "cell_rule", "public", "not_covered"]
"""`epsilon`: noise was added at the site, and its ledger is charged. `cell_rule`: it rests on
`min_cell` subjects (docs/protocol.md), without noise. `public`: it follows from the study, the
software or chance, from no subject. `not_covered`: none of these."""
PROTECTIONS: tuple[Protection, ...] = get_args(Protection)

Subjects = Literal["training", "tuning", "held_out", "all", "none"]
"""Whose records a number follows from, by split."""


@dataclass(frozen=True)
class Disclosure:
    """One kind of number or text.

    Attributes:
        record: where it stands: the record of a message, or a part of what the engine sends; the
            holes of both are those of docs/protocol.md.
        keys: its names there.
        phases: in which it is sent; empty for what the engine sends whatever the study does.
        what: what it is.
        unit: what it is counted in; empty for what has none.
        subjects: whose records it follows from.
        protection: in a phase without noise.
        noised: in a phase with noise.
        reason: what it could tell all the same, or why it tells nothing.
        is_withheld: whether `[privacy] metrics = "withheld"` keeps it at the site.
    """

    record: str
    keys: tuple[str, ...]
    phases: tuple[Phase, ...]
    what: str
    unit: str
    subjects: Subjects
    protection: Protection
    noised: Protection
    reason: str
    is_withheld: bool = False

    @property
    def places(self) -> tuple[str, ...]:
        """`record.key`, of all keys."""
        return tuple(f"{self.record}.{key}" for key in self.keys)

    def leaves(self, study: StudyConfig) -> bool:
        """Whether a site sends it in this study."""
        return not (self.is_withheld and study.privacy.metrics == "withheld")

    def protection_in(self, study: StudyConfig, phase: Phase) -> Protection:
        """What protects it in a phase of a study."""
        return self.noised if has_noise(study, phase) else self.protection


def has_noise(study: StudyConfig, phase: Phase) -> bool:
    """Whether sites add noise to what a phase sends of their training subjects."""
    if phase == "vocabulary":
        return study.vocabulary.noise_epsilon > 0
    return study.privacy.is_private(phase)
