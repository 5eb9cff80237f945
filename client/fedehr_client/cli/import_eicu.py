"""`fedehr-client import eicu`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedehr_client.cli.import_options import import_command
from fedehr_client.importers.eicu.site_by import SiteBy

if TYPE_CHECKING:
    from fedehr_client.importers.eicu.importer import EicuImporter


@import_command
def import_eicu(
    source: Annotated[Path, typer.Argument(help="Folder with the eICU tables; only read.")],
    site_by: Annotated[SiteBy, typer.Option("--site-by", help="What groups hospitals into sites.")],
    hourly: Annotated[
        Path | None, typer.Option("--hourly", help="Folder with dyn.parquet: labs and vitals.")
    ] = None,
) -> "EicuImporter":
    """Import eICU-CRD tables, one site a group of hospitals."""
    from fedehr_client.importers.eicu.importer import EicuImporter

    return EicuImporter(source, hourly, site_by)
