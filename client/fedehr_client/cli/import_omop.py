"""`fedehr-client import omop`."""

from typing import TYPE_CHECKING, Annotated

import typer

from fedehr_client.cli.import_options import import_command

if TYPE_CHECKING:
    from fedehr_client.importers.omop.importer import OmopImporter


@import_command
def import_omop(
    source: Annotated[
        str,
        typer.Argument(
            metavar="FOLDER|URL",
            help="Folder of CDM tables (CSV, Parquet), or postgresql://USER@HOST/DATABASE with "
            "the password in PGPASSWORD; only read.",
        ),
    ],
    schema: Annotated[
        list[str] | None,
        typer.Option("--schema", help="Of the database: public; several, in order, if repeated."),
    ] = None,
    source_concepts: Annotated[
        bool,
        typer.Option("--source-concepts", help="Take source concepts; hospitals share few."),
    ] = False,
    keep_unmapped: Annotated[
        bool,
        typer.Option("--keep-unmapped", help="Keep rows of concept 0, one code a table."),
    ] = False,
) -> "OmopImporter":
    """Import OMOP CDM 5.3 or 5.4 from files or PostgreSQL: one site folder."""
    from fedehr_client.importers.omop.importer import OmopImporter

    return OmopImporter(
        source,
        schemas=tuple(schema or ("public",)),
        source_concepts=source_concepts,
        keep_unmapped=keep_unmapped,
    )
