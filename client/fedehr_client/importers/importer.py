"""What every source of records offers, and how a new federation folder comes about."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from fedehr_client.importers.summary import ImportSummary
from fedehr_shared.meds.new_folder import new_folder

ReportStep = Callable[[str], None]
"""Told the name of each step as it begins."""


class Importer(Protocol):
    """Turns one source of records into a federation folder."""

    def write(self, folder: Path, report_step: ReportStep) -> ImportSummary:
        """Write sites and `federation.json` into `folder`, which exists and is empty.

        Raises:
            DataError: the source is incomplete or malformed.
        """
        ...


def import_records(importer: Importer, out: Path, report_step: ReportStep) -> ImportSummary:
    """Run `importer`; `out` appears only when all of it is written.

    Raises:
        DataError: `out` exists, or the source is incomplete or malformed.
    """
    with new_folder(out) as folder:
        return importer.write(folder, report_step)
