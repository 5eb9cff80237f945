"""What an import made: counts for the hospital's own eyes, which stay at the site."""

from dataclasses import dataclass, field, replace
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

    def named(self, name: str) -> "SiteSummary":
        """The same under the name that the folder has when it is complete."""
        return replace(self, name=name)

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
    """The whole folder: one site, or a federation of several.

    Attributes:
        sites: by name.
        tasks: by task, what `federation.json` says of it, its exclusions included.
        num_subjects: people; one seen at two sites counts once.
        left_out: rows and stays that became no event, by reason.
        repairs: what was changed on the way, by reason.
        tables: by table, as `import.json` says: rows read, and bad ones by reason.
        seconds: from start to end; null where it was not measured.
    """

    sites: list[SiteSummary]
    tasks: dict[str, dict[str, Any]]
    num_subjects: int
    left_out: dict[str, int] = field(default_factory=dict)
    repairs: dict[str, int] = field(default_factory=dict)
    tables: dict[str, Any] = field(default_factory=dict)
    seconds: float | None = None

    @property
    def num_events(self) -> int:
        """Of all sites."""
        return sum(site.num_events for site in self.sites)

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "num_subjects": self.num_subjects,
            "num_events": self.num_events,
            "sites": [site.to_dict() for site in self.sites],
            "tasks": self.tasks,
            "left_out": self.left_out,
            "repairs": self.repairs,
            "tables": self.tables,
            "seconds": self.seconds,
        }
