"""`TextTable`: a table of texts, for a terminal and for a page."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text


@dataclass(frozen=True)
class TextTable:
    """A table of texts: the first column names the row."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @property
    def markdown(self) -> str:
        """For a page."""
        lines = [
            f"**{self.title}**",
            "",
            "| " + " | ".join(self.header) + " |",
            "|---|" + "---:|" * (len(self.header) - 1),
            *("| " + " | ".join(row) + " |" for row in self.rows),
        ]
        return "\n".join(lines)


def print_tables(tables: Sequence[TextTable], console: Console) -> None:
    """Show tables one below the other."""
    for told in tables:
        table = Table(title=Text(told.title), title_justify="left", box=box.SIMPLE_HEAD)
        for name in told.header:
            table.add_column(name)
        for row in told.rows:
            table.add_row(*map(Text, row))
        console.print(table)
