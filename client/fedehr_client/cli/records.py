"""`fedehr-client import SOURCE_KIND`: records in, a federation folder out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedehr_client.importers.eicu.site_by import SiteBy
from fedehr_shared.console import err, out, print_json

if TYPE_CHECKING:
    from fedehr_client.importers.importer import Importer
    from fedehr_client.importers.summary import ImportSummary

app = typer.Typer(
    name="import",
    help="Turn a hospital's records into a federation folder (MEDS 0.4, one dataset a site).",
    no_args_is_help=True,
)


@app.callback()
def _root() -> None:
    pass


@app.command("eicu")
def import_eicu(
    source: Annotated[Path, typer.Argument(help="Folder with the eICU tables; only read.")],
    *,
    folder: Annotated[Path, typer.Option("--out", help="New federation folder.")],
    site_by: Annotated[SiteBy, typer.Option("--site-by", help="What groups hospitals into sites.")],
    hourly: Annotated[
        Path | None, typer.Option("--hourly", help="Folder with dyn.parquet: labs and vitals.")
    ] = None,
    split_key: Annotated[
        str | None,
        typer.Option("--split-key", help="Key of the splits by subject; left out, a fixed one."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the counts as JSON.")] = False,
) -> None:
    """Import eICU-CRD tables, one site a group of hospitals."""
    from fedehr_client.importers.eicu.importer import EicuImporter
    from fedehr_shared.meds.splits import DEFAULT_SPLIT_KEY

    importer = EicuImporter(source, hourly, site_by, split_key or DEFAULT_SPLIT_KEY)
    summary = _import_with_progress(importer, folder)
    if as_json:
        print_json({"folder": str(folder), **summary.to_dict()})
    else:
        _print_summary(summary, folder)


def _import_with_progress(importer: "Importer", folder: Path) -> "ImportSummary":
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from fedehr_client.importers.importer import import_records

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        bar = progress.add_task("starting", total=None)
        return import_records(importer, folder, lambda step: progress.update(bar, description=step))


def _print_summary(summary: "ImportSummary", folder: Path) -> None:
    out.print(_site_table(summary))
    out.print(_exclusion_table(summary))
    out.print(_count_table("left out of the events", summary.left_out))
    out.print(f"{summary.num_subjects:,} people; federation folder {folder}")


def _site_table(summary: "ImportSummary") -> Any:
    from rich.table import Table

    table = Table(title="sites")
    table.add_column("site")
    for title in ("subjects", "events"):
        table.add_column(title, justify="right")
    for task in summary.tasks:
        table.add_column(f"{task}\nlabels / positive", justify="right")
    for site in summary.sites:
        row = [site.name, f"{site.num_subjects:,}", f"{site.num_events:,}"]
        for counts in site.tasks.values():
            share = "-" if counts.share is None else f"{counts.share:.1%}"
            row.append(f"{counts.num:,} / {counts.num_positive:,} ({share})")
        table.add_row(*row)
    return table


def _exclusion_table(summary: "ImportSummary") -> Any:
    from rich.table import Table

    table = Table(title="unit stays, and why some carry no label")
    table.add_column("")
    for task in summary.tasks:
        table.add_column(task, justify="right")
    tasks = list(summary.tasks.values())
    table.add_row("unit stays", *[f"{task['num_stays']:,}" for task in tasks])
    for reason in tasks[0]["exclusions"]:
        table.add_row(
            f"- {reason.replace('_', ' ')}", *[f"{task['exclusions'][reason]:,}" for task in tasks]
        )
    table.add_row("labels", *[f"{task['num']:,}" for task in tasks])
    table.add_row("of them positive", *[f"{task['num_positive']:,}" for task in tasks])
    return table


def _count_table(title: str, counts: dict[str, int]) -> Any:
    from rich.table import Table

    table = Table(title=title)
    table.add_column("")
    table.add_column("rows", justify="right")
    for reason, num in counts.items():
        table.add_row(reason.replace("_", " "), f"{num:,}")
    return table
