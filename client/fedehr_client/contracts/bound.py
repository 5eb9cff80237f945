"""`Bound`: one ceiling of the site beside what a study asks."""

from collections.abc import Sequence
from dataclasses import dataclass

from fedehr_client.contracts.crossing import Crossing
from fedehr_client.contracts.planned_epsilon import PlannedEpsilon
from fedehr_client.ledger.charge import unprotected_phases
from fedehr_client.site import SiteConfig
from fedehr_shared.contract.study_contract import StudyContract


@dataclass(frozen=True)
class Bound:
    """One line of a comparison.

    Attributes:
        key: in the site file.
        allowed: what the site file says, in words.
        asked: what the study asks, in words.
        is_crossed: whether it is more than is allowed.
    """

    key: str
    allowed: str
    asked: str
    is_crossed: bool


def bounds_of(
    contract: StudyContract,
    config: SiteConfig,
    epsilon: PlannedEpsilon,
    num_subjects: int | None,
    crossed: Sequence[Crossing],
) -> tuple[Bound, ...]:
    """Every ceiling, also those that are not set.

    Args:
        contract: what is asked.
        config: what is allowed.
        epsilon: what privacy would be spent.
        num_subjects: training subjects of the site; None: unknown.
        crossed: of these, the ceilings that the study crosses.
    """
    study, ceilings = contract.study, config.ceilings
    unprotected = unprotected_phases(study)
    keys = {crossing.key for crossing in crossed}
    largest = max(contract.max_answer_bytes.values(), default=0)
    hours = config.schedule.allowed_hours
    lines = (
        ("min_cell", f"{ceilings.min_cell}", f"{study.vocabulary.min_cell}"),
        ("min_sites", f"{ceilings.min_sites}", f"{study.federation.min_sites}"),
        ("min_subjects", _or_none(ceilings.min_subjects), _or_unknown(num_subjects)),
        ("studies", _names(ceilings.studies), study.name),
        ("tasks", _names(ceilings.tasks), _names(study.finetuning.tasks)),
        (
            "subject_epsilon",
            "not set" if epsilon.ceiling is None else f"{epsilon.ceiling:g}",
            "nothing of it"
            if contract.subject_epsilon is None
            else f"{epsilon.after:.4g} with what is spent",
        ),
        (
            "require_privacy",
            "yes" if ceilings.require_privacy else "no",
            f"{' and '.join(unprotected)} without noise here" if unprotected else "noise in both",
        ),
        ("max_bytes_per_day", _or_none(ceilings.max_bytes_per_day), f"{largest:,} an answer"),
        ("allowed_hours", ", ".join(hours) or "always", "work when it is asked, else it waits"),
    )
    return tuple(Bound(key, allowed, asked, key in keys) for key, allowed, asked in lines)


def _names(names: Sequence[str] | None) -> str:
    return "any" if names is None else ", ".join(names) or "none"


def _or_none(number: int | None) -> str:
    return "not set" if number is None else f"{number:,}"


def _or_unknown(number: int | None) -> str:
    return "unknown: the records cannot be read" if number is None else f"{number:,} here"
