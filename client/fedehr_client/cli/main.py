"""The program `fedehr-client`."""

from typing import NoReturn

import typer

from fedehr_client.cli import (
    audit,
    budget,
    check,
    doctor,
    erase,
    init,
    labels,
    node,
    outbox,
    records,
    rehearse,
    studies,
    train,
)
from fedehr_shared.console import run_program

app = typer.Typer(
    name="fedehr-client",
    help="A hospital's node: records in, agreed numbers out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


app.add_typer(records.app)
app.add_typer(labels.app)
app.add_typer(check.app)
app.add_typer(train.app)


@app.callback()
def _root() -> None:
    pass


app.add_typer(init.app)
app.add_typer(doctor.app)
app.add_typer(rehearse.app)
app.add_typer(node.app)
app.add_typer(erase.app)
app.add_typer(studies.app)
app.add_typer(outbox.app)
app.add_typer(audit.app)
app.add_typer(budget.app)


def run() -> NoReturn:
    """Entry point of the console script."""
    run_program(app)
