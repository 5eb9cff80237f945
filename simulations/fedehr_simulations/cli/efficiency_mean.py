"""`fedehr-sim efficiency-mean`: what several draws of hospitals have in common."""

from pathlib import Path
from typing import Annotated

import typer

from fedehr_shared import console


def efficiency_mean(
    records: Annotated[
        list[Path],
        typer.Argument(help="Two or more efficiency.json, each of hospitals of its own."),
    ],
    markdown: Annotated[
        Path | None,
        typer.Option(help="Also write the tables into this page, between its two marks."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON only.")] = False,
) -> None:
    """Bring measurements of `fedehr-sim efficiency` together.

    One draw of hospitals has one set of planted outcomes, which suits
    pre-training or does not. Here are the means over draws, with intervals
    over them, and at how many of them pre-training is ahead.
    """
    from fedehr_simulations.efficiency.hospitals_page import hospitals_tables, write_hospitals_page
    from fedehr_simulations.efficiency.over_hospitals import over_hospitals, read_records
    from fedehr_simulations.report.text_table import print_tables

    record = over_hospitals(read_records(records))
    if markdown is not None:
        write_hospitals_page(record, markdown)
    if json:
        console.print_json(record.model_dump(mode="json"))
        return
    print_tables(hospitals_tables(record), console.out)
