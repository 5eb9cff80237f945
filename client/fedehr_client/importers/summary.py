"""What an import made: counts for the hospital's own eyes, which stay at the site."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class LabelCounts:
    """Labels of one task at one site."""

    num: int
    num_positive: int

    @property
    def share(self) -> float | None:
        """Positives over all, null where there are no labels."""
        return self.num_positive / self.num if self.num else None

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {"num": self.num, "num_positive": self.num_positive, "share": self.share}


@dataclass(frozen=True)
class SiteSummary:
    """One site's folder."""

    name: str
    num_subjects: int
    num_events: int
    tasks: dict[str, LabelCounts]

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "name": self.name,
            "num_subjects": self.num_subjects,
            "num_events": self.num_events,
            "tasks": {task: counts.to_dict() for task, counts in self.tasks.items()},
        }


@dataclass(frozen=True)
class ImportSummary:
    """The whole federation folder.

    Attributes:
        sites: by name.
        tasks: by task, what `federation.json` says of it, its exclusions included.
        num_subjects: people; one seen at two sites counts once.
        left_out: rows and stays that became no event, by reason.
    """

    sites: list[SiteSummary]
    tasks: dict[str, dict[str, Any]]
    num_subjects: int
    left_out: dict[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "num_subjects": self.num_subjects,
            "num_events": sum(site.num_events for site in self.sites),
            "sites": [site.to_dict() for site in self.sites],
            "tasks": self.tasks,
            "left_out": self.left_out,
        }
