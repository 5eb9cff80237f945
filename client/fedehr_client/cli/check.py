"""`fedehr-client check DIR`: can this site take part?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedehr_client.cli.site_argument import named_site
from fedehr_shared.console import err, out, print_json

if TYPE_CHECKING:
    from fedehr_client.check.check import CheckSettings
    from fedehr_client.check.report import CheckReport, Section
    from fedehr_shared.meds.folder import SiteFolder

app = typer.Typer()
_COLORS = {"ok": "green", "warning": "yellow", "failed": "red"}


@app.command("check")
def check(
    folder: Annotated[Path, typer.Argument(help="A site's MEDS folder; only read.")],
    *,
    study: Annotated[
        Path | None, typer.Option("--study", help="study.toml to check against.")
    ] = None,
    vocabulary: Annotated[
        Path | None,
        typer.Option("--vocabulary", help="The study's vocabulary.json, if there is one."),
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", help="Also write the page as one HTML file.")
    ] = None,
    min_cell: Annotated[
        int, typer.Option("--min-cell", min=2, max=1_000, help="Withhold what rests on fewer.")
    ] = 11,
    memory_limit: Annotated[
        str, typer.Option("--memory-limit", help="For the queries, such as 500MB or 2GB.")
    ] = "1GB",
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Say whether this site can take part: files, dates, codes, labels, one training step.

    Ends with 0 where it can, with 4 where something must be mended first.
    """
    from fedehr_client.check.check import CheckSettings
    from fedehr_client.check.html import render_html
    from fedehr_client.check.vocabulary import read_vocabulary
    from fedehr_client.compute.config import ComputeConfig
    from fedehr_client.importers.engine.memory import parse_bytes
    from fedehr_shared.config.section import parse
    from fedehr_shared.config.study import StudyConfig
    from fedehr_shared.errors import DataError

    site = named_site(folder)
    settings = CheckSettings(
        study=StudyConfig.load(study) if study else None,
        vocabulary=read_vocabulary(vocabulary) if vocabulary else None,
        min_cell=min_cell,
        memory_limit_bytes=parse_bytes(memory_limit),
        compute=parse({"device": device}, ComputeConfig, "the command line"),
    )
    report = _check_with_progress(site, settings)
    if html is not None:
        html.write_text(render_html(report), encoding="utf-8")
    if as_json:
        print_json(report.to_dict())
    else:
        _print_report(report)
    if not report.ready:
        raise DataError(
            f"site '{report.site}' is not ready: {len(report.failed)} thing(s) to mend, "
            "each named above with its next step."
        )


def _check_with_progress(site: "SiteFolder", settings: "CheckSettings") -> "CheckReport":
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from fedehr_client.check.check import check_site

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        bar = progress.add_task("starting", total=None)
        return check_site(site, settings, lambda step: progress.update(bar, description=step))


def _print_report(report: "CheckReport") -> None:
    for section in report.sections:
        _print_section(section)
    verdict = "[green]ready[/]" if report.ready else "[red]not ready[/]"
    out.print(
        f"\nsite {report.site}: {verdict}; what rests on fewer than {report.min_cell} "
        "subjects is withheld"
    )


def _print_section(section: "Section") -> None:
    from rich.markup import escape
    from rich.table import Table

    from fedehr_client.check.report import table_rows

    out.print(f"\n[bold]{section.title}[/]")
    for finding in section.findings:
        color = _COLORS[finding.verdict.value]
        out.print(f"  [{color}]{finding.verdict.value:<8}[/]{escape(finding.text)}")
    for plot in section.plots:
        largest = max((value or 0 for value in plot.values), default=0) or 1
        out.print(f"  {plot.title}")
        for label, value in zip(plot.labels, plot.values, strict=True):
            bar = "#" * round(30 * (value or 0) / largest)
            out.print(f"    {label:>13} {bar} {'withheld' if value is None else f'{value:,}'}")
    for title, rows in section.tables.items():
        table = Table(title=title, title_justify="left")
        for name in rows.columns:
            table.add_column(str(name))
        for row in table_rows(rows):
            table.add_row(*[escape(_cell(value)) for value in row.values()])
        out.print(table)


def _cell(value: object) -> str:
    if value is None:
        return "withheld"
    return f"{value:,}" if isinstance(value, int) else str(value)
