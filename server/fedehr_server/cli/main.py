"""The program `fedehr-server`."""

from typing import NoReturn

import typer

from fedehr_server.cli import (
    adapters,
    contract,
    coordinator,
    evaluation,
    model,
    privacy,
    propose,
    site,
    submit,
    vocabulary,
)
from fedehr_shared.console import run_program

app = typer.Typer(
    name="fedehr-server",
    help="The coordinator: run a study over the hospitals' nodes.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


@app.callback()
def _root() -> None:
    pass


app.add_typer(coordinator.app)
app.add_typer(contract.app)
app.add_typer(propose.app)
app.add_typer(submit.app)
app.add_typer(site.app, name="site")
app.add_typer(vocabulary.app, name="vocabulary")
app.add_typer(adapters.app, name="adapters")
app.add_typer(evaluation.app)
app.add_typer(privacy.app)
app.add_typer(model.app, name="model")


def run() -> NoReturn:
    """Entry point of the console script."""
    run_program(app)
