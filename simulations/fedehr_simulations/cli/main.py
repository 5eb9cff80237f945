"""The program `fedehr-sim`."""

from typing import NoReturn

import typer

from fedehr_shared.console import run_program
from fedehr_simulations.cli.ablate import ablate
from fedehr_simulations.cli.attacks import attacks
from fedehr_simulations.cli.compare import compare
from fedehr_simulations.cli.demo import demo
from fedehr_simulations.cli.efficiency import efficiency
from fedehr_simulations.cli.efficiency_mean import efficiency_mean
from fedehr_simulations.cli.hospitals import hospitals
from fedehr_simulations.cli.privacy import privacy
from fedehr_simulations.cli.probe import probe
from fedehr_simulations.cli.run import run as run_study
from fedehr_simulations.cli.study import study
from fedehr_simulations.cli.tune import tune

app = typer.Typer(
    name="fedehr-sim",
    help="Federated, pooled and local training on one machine.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


@app.callback()
def _root() -> None:
    pass


app.command()(hospitals)
app.command("run")(run_study)
app.command()(compare)
app.command()(ablate)
app.command()(efficiency)
app.command("efficiency-mean")(efficiency_mean)
app.command()(attacks)
app.command()(probe)
app.command()(tune)
app.command()(privacy)
app.command()(demo)
app.add_typer(study)


def run() -> NoReturn:
    """Entry point of the console script."""
    run_program(app)
