"""`fedehr-server evaluation RUN`: what the sites told of the model, as tables."""

from pathlib import Path
from typing import Annotated

import typer

from fedehr_shared.console import out, print_json

app = typer.Typer()


@app.command("evaluation")
def show(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="A run's folder, or its evaluation.json.")
    ],
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show a study's held-out evaluation: pooled, by site, by subgroup.

    What is withheld is marked with a dash; the reasons stand below.
    """
    from fedehr_server.evaluation_tables import read_evaluation, tables_of_all

    evaluation = read_evaluation(run)
    if json:
        print_json(evaluation)
        return
    for table in tables_of_all(evaluation):
        out.print(table)
    out.print("docs/evaluation.md says what each number is and when it is withheld.")
