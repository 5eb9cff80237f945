"""`fedehr-sim hospitals`: synthetic hospitals with planted structure."""

from pathlib import Path
from typing import Annotated, Any

import typer

from fedehr_shared import console


def hospitals(  # noqa: PLR0917 - a command line's parameters
    out: Annotated[Path, typer.Option(help="New federation folder to write.")],
    subjects: Annotated[int, typer.Option(help="Subjects over all hospitals.")] = 3_000,
    sites: Annotated[int, typer.Option(help="Number of hospitals.")] = 5,
    size_ratio: Annotated[
        float, typer.Option(help="The largest hospital over the smallest; 1: all alike.")
    ] = 10.0,
    seed: Annotated[int, typer.Option(help="The same seed gives the same records.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print JSON only.")] = False,
) -> None:
    """Make synthetic hospitals that differ in size, case mix and coding habit.

    Outcomes follow from planted conditions, so the best possible score
    is known: it is printed as the oracle and kept in OUT/federation.json.
    """
    from fedehr_simulations.hospitals.folder import write_hospitals
    from fedehr_simulations.hospitals.plan import HospitalsPlan

    made = write_hospitals(out, HospitalsPlan(subjects, sites, seed, size_ratio))
    if json:
        console.print_json({"out": str(out), **made})
        return
    _print_sites(made["sites"], sorted(made["tasks"]))
    for task, about in made["tasks"].items():
        console.out.print(f"{task}: oracle AUROC {about['oracle_auroc']}")
    console.out.print(f"federation folder: {out}", soft_wrap=True)


def _print_sites(sites: list[dict[str, Any]], tasks: list[str]) -> None:
    from rich.table import Table

    table = Table("site", "subjects", "events", *(f"{task} share" for task in tasks))
    for site in sites:
        shares = [f"{site['prevalence'][task]:.3f}" for task in tasks]
        table.add_row(site["name"], str(site["num_subjects"]), str(site["num_events"]), *shares)
    console.out.print(table)
