"""A mapping's preview as tables for a person."""

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from fedehr_shared.console import err, out

if TYPE_CHECKING:
    from fedehr_client.importers.csv.preview import MappingPreview, SectionPreview


def print_preview(preview: "MappingPreview") -> None:
    """Print each section's first events and counts, then the bad rows."""
    err.print("records of single people follow, for this screen alone; nothing is written")
    for section in preview.sections:
        out.print(_section_table(section))
        dropped = [f"{num:,} {reason.replace('_', ' ')}" for reason, num in section.dropped.items()]
        out.print(
            f"{section.num_events:,} events, {section.num_codes:,} codes"
            + (f"; left out: {', '.join(dropped)}" if dropped else ""),
            markup=False,
            soft_wrap=True,
        )
    for name, table in preview.tables.items():
        for reason, bad in table["bad_rows"].items():
            rows = ", ".join(map(str, bad["rows"][:5])) + (", ..." if bad["num"] > 5 else "")
            out.print(f"table {name}: {bad['num']:,} rows: {reason} ({rows})", markup=False)
    for name, num in preview.missing.items():
        out.print(f"table {name} is not there: {num} section(s) go without it", markup=False)


def _section_table(section: "SectionPreview") -> Table:
    table = Table("time", "code", title=escape(section.title), title_justify="left")
    table.add_column("value", justify="right")
    for row in section.to_dict()["rows"]:
        value = "" if row["value"] is None else f"{row['value']:g}"
        table.add_row(row["time"] or "static", escape(row["code"]), value)
    return table
