"""`Importer`: what a source of records offers the engine; `RecordsPlan`: its answer."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

from fedehr_client.importers.engine.settings import ImportSettings
from fedehr_client.importers.engine.workspace import Workspace
from fedehr_shared.meds.folder import SiteFolder

ReportStep = Callable[[str], None]
"""Told the name of each step as it begins."""


@dataclass(frozen=True)
class RecordsPlan:
    """The source's records as SQL over the workspace's tables.

    Attributes:
        events: each a SELECT of subject_id BIGINT, time TIMESTAMP, code VARCHAR,
            numeric_value (any number) and visit_id BIGINT, by these names, in any order of
            rows. An importer joins and filters; the engine sorts and drops duplicates.
        codes: a SELECT of code, description, parent_codes VARCHAR[] and delay_hours, or null.
            It may name more codes than are used: the used ones and their ancestors are kept.
        delays: (prefix of code, hours): `delay_hours` where `codes` gives none; the longest
            prefix counts.
        splits: a SELECT of subject_id, split where the source fixes them, or null.
        dataset: entries of `dataset.json`.
        one_calendar: whether all subjects' dates are of one calendar, so that the last event
            tells until when anybody was observed. False where dates are fictional, or were
            shifted subject by subject.
        finish: called with the new folder once its records are written, before it takes its
            name; adds the labels that the source brings.
    """

    events: tuple[str, ...]
    codes: str | None = None
    delays: tuple[tuple[str, float], ...] = ()
    splits: str | None = None
    dataset: dict[str, Any] = field(default_factory=dict)
    one_calendar: bool = True
    finish: Callable[[SiteFolder], None] | None = None


class Importer(Protocol):
    """Turns one source of records into a plan."""

    @property
    def kind(self) -> str:
        """`omop`, `csv`, ...: the `source` of `import.json`."""
        ...

    def plan(self, workspace: Workspace, report_step: ReportStep) -> RecordsPlan:
        """Read the source's tables into `workspace` and say how they become events.

        Raises:
            DataError: the source is incomplete or malformed.
        """
        ...


@runtime_checkable
class ZonedImporter(Protocol):
    """An importer whose source states the zone of its times."""

    @property
    def timezone(self) -> str | None:
        """IANA name; counts where the settings name none."""
        ...


def settings_for(importer: object, settings: ImportSettings) -> ImportSettings:
    """The settings, with the zone that the importer's source states where they name none."""
    if isinstance(importer, ZonedImporter) and settings.timezone is None:
        return replace(settings, timezone=importer.timezone)
    return settings
