"""`NotCovered`: what a site tells of subjects in a study that no epsilon covers."""

from dataclasses import asdict, dataclass
from typing import Any

from fedehr_shared.config.study import StudyConfig
from fedehr_shared.privacy.disclosure import Disclosure, Protection, Subjects
from fedehr_shared.privacy.disclosures import DISCLOSURES
from fedehr_shared.privacy.engine_disclosures import ENGINE_DISCLOSURES
from fedehr_shared.wire.work import Phase


@dataclass(frozen=True)
class NotCovered:
    """One kind of number, with the phases in which epsilon does not cover it.

    Attributes:
        what: in words.
        places: its names on the wire.
        phases: of the study; empty for what the engine sends in all of them.
        subjects: whose records it follows from.
        protection: `cell_rule`, or `not_covered`: none at all.
        reason: what it could tell.
    """

    what: str
    places: tuple[str, ...]
    phases: tuple[Phase, ...]
    subjects: Subjects
    protection: Protection
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """As it stands in `result.json`."""
        return asdict(self)


def not_covered(study: StudyConfig) -> tuple[NotCovered, ...]:
    """All of a study, those without any protection first."""
    sent = [one for one in DISCLOSURES if one.leaves(study) and _is_asked(one, study)]
    found = [entry for one in sent for entry in _entries(one, study)]
    found += [
        NotCovered(one.what, one.places, (), one.subjects, one.protection, one.reason)
        for one in ENGINE_DISCLOSURES
        if one.protection != "public"
    ]
    return tuple(sorted(found, key=lambda one: one.protection == "cell_rule"))


def _entries(one: Disclosure, study: StudyConfig) -> list[NotCovered]:
    """By protection, the phases that the study has and that send it so."""
    by_protection: dict[Protection, list[Phase]] = {}
    for phase in one.phases:
        protection = one.protection_in(study, phase)
        if _is_run(study, phase) and protection not in {"epsilon", "public"}:
            by_protection.setdefault(protection, []).append(phase)
    return [
        NotCovered(one.what, one.places, tuple(phases), one.subjects, protection, one.reason)
        for protection, phases in by_protection.items()
    ]


def _is_asked(one: Disclosure, study: StudyConfig) -> bool:
    """Some numbers are told only where the study's settings need them."""
    if one.keys[0].startswith(("calibration.", "uncalibrated.")):
        return study.evaluation.calibration != "none"
    if one.keys[0] == "tuning.<task>.loss":
        return study.loss.task_weights == "dynamic"
    return True


def _is_run(study: StudyConfig, phase: Phase) -> bool:
    """Without fine-tuning nothing is evaluated."""
    return study.num_rounds("finetuning" if phase == "evaluation" else phase) > 0
