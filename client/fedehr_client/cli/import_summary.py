"""What an import made, as tables for a person."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from fedehr_shared.console import out

if TYPE_CHECKING:
    from fedehr_client.importers.summary import ImportSummary


def print_summary(summary: "ImportSummary", folder: Path) -> None:
    """Print tables read, sites, labels, and what was left out or repaired."""
    if summary.tables:
        out.print(_source_table(summary.tables))
    out.print(_site_table(summary))
    if summary.tasks:
        out.print(_exclusion_table(summary))
    for title, counts in (("left out", summary.left_out), ("repaired", summary.repairs)):
        if any(counts.values()):
            out.print(_count_table(title, counts))
    out.print(
        f"{summary.num_subjects:,} people, {summary.num_events:,} events"
        + (f" in {summary.seconds:,.0f} s" if summary.seconds is not None else "")
        + f"; folder {folder}",
        soft_wrap=True,
    )


def _source_table(tables: dict[str, Any]) -> Table:
    table = Table("table", "why", title="rows read, and bad rows among them")
    for title in ("rows", "bad"):
        table.add_column(title, justify="right")
    table.add_column("row numbers")
    for name, read in tables.items():
        num_bad = sum(reason["num"] for reason in read["bad_rows"].values())
        table.add_row(name, "", f"{read['num_rows']:,}", f"{num_bad:,}", "")
        for reason, bad in read["bad_rows"].items():
            rows = ", ".join(map(str, bad["rows"][:5])) + (", ..." if bad["num"] > 5 else "")
            table.add_row("", reason, "", f"{bad['num']:,}", rows)
    return table


def _site_table(summary: "ImportSummary") -> Table:
    table = Table("site", title="sites")
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


def _exclusion_table(summary: "ImportSummary") -> Table:
    table = Table("", title="unit stays, and why some carry no label")
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


def _count_table(title: str, counts: dict[str, int]) -> Table:
    table = Table("", title=title)
    table.add_column("number", justify="right")
    for reason, num in counts.items():
        table.add_row(reason.replace("_", " "), f"{num:,}")
    return table
