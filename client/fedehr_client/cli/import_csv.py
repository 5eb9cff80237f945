"""`fedehr-client import csv`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedehr_client.cli.import_options import import_command

if TYPE_CHECKING:
    from fedehr_client.importers.csv.importer import CsvImporter
    from fedehr_client.importers.engine.settings import ImportSettings

_NUM_ROWS = 10


def _print_template(asked: bool) -> None:
    if not asked:
        return
    from fedehr_client.importers.csv.template import template_text

    sys.stdout.write(template_text())
    raise typer.Exit


def _show(importer: "CsvImporter", settings: "ImportSettings", as_json: bool) -> None:
    import tempfile

    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from fedehr_client.cli.mapping_preview import print_preview
    from fedehr_client.importers.csv.preview import preview_mapping
    from fedehr_shared.console import err, print_json

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        bar = progress.add_task("starting", total=None)
        preview = preview_mapping(
            importer,
            settings,
            _NUM_ROWS,
            Path(tempfile.gettempdir()),
            lambda step: progress.update(bar, description=step),
        )
    if as_json:
        print_json(preview.to_dict())
    else:
        print_preview(preview)


@import_command(preview=_show)
def import_csv(
    source: Annotated[Path, typer.Argument(help="Folder with the tables; only read.")],
    mapping: Annotated[
        Path, typer.Option("--mapping", metavar="FILE.toml", help="How they become events.")
    ],
    template: Annotated[
        bool,
        typer.Option(
            "--template",
            is_eager=True,
            callback=_print_template,
            help="Print a commented mapping to start from, and end.",
        ),
    ] = False,
) -> "CsvImporter":
    """Import a hospital's own tables by a mapping file."""
    from fedehr_client.importers.csv.importer import CsvImporter
    from fedehr_client.importers.csv.mapping import Mapping

    return CsvImporter(source, Mapping.load(mapping), mapping.absolute().parent)
