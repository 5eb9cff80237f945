"""What an erasure would remove, or has: counts for the hospital's own eyes."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fedehr_client.erasure.journal import Journal
from fedehr_client.erasure.place import Place
from fedehr_client.erasure.site import ReportStep, SiteErasure, Survey


@dataclass(frozen=True)
class ErasureSummary:
    """Over all sites asked.

    Attributes:
        num_subjects: subjects asked to be erased.
        num_recorded: of them, recorded as withdrawn at every site before.
        num_unknown: of the others, those that no site holds; they are recorded all the same.
        sites: by name, what each holds of them.
        unfinished: sites where an earlier erasure did not end.
    """

    num_subjects: int
    num_recorded: int
    num_unknown: int
    sites: Mapping[str, Journal]
    unfinished: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        """Nobody to erase, and nothing left over."""
        found = any(journal.num_found for journal in self.sites.values())
        return not (self.num_subjects or found or self.unfinished)

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "num_subjects": self.num_subjects,
            "num_recorded": self.num_recorded,
            "num_unknown": self.num_unknown,
            "sites": [{"name": name, **asdict(found)} for name, found in self.sites.items()],
            "unfinished": list(self.unfinished),
        }


def survey_places(
    places: list[Place], subject_ids: frozenset[int], report_step: ReportStep
) -> ErasureSummary:
    """Look for the subjects at every place; change nothing.

    Raises:
        DataError: a file is damaged.
    """
    surveys = {
        place.records.name: SiteErasure(place, report_step).survey(subject_ids) for place in places
    }
    return _sum_up(surveys, subject_ids)


def _sum_up(surveys: Mapping[str, Survey], subject_ids: frozenset[int]) -> ErasureSummary:
    found = frozenset[int]().union(*(survey.found for survey in surveys.values()))
    recorded = subject_ids.intersection(*(survey.recorded for survey in surveys.values()))
    return ErasureSummary(
        num_subjects=len(subject_ids),
        num_recorded=len(recorded),
        num_unknown=len(subject_ids - found - recorded),
        sites={name: survey.journal for name, survey in surveys.items()},
        unfinished=tuple(name for name, survey in surveys.items() if survey.unfinished),
    )
