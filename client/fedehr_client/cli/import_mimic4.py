"""`fedehr-client import mimic4`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedehr_client.cli.import_options import import_command

if TYPE_CHECKING:
    from fedehr_client.importers.csv.importer import CsvImporter


@import_command
def import_mimic4(
    source: Annotated[Path, typer.Argument(help="Folder with hosp/ and icu/; only read.")],
) -> "CsvImporter":
    """Import MIMIC-IV 2.x or 3.x."""
    from fedehr_client.importers.mimic4.importer import mimic4_importer

    return mimic4_importer(source)
