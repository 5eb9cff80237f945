"""`fedehr-sim compare`: federated against other ways of training, on the same subjects."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedehr_shared import console

if TYPE_CHECKING:
    from fedehr_simulations.arms.comparison import Comparison
    from fedehr_simulations.arms.request import ComparisonRequest
    from fedehr_simulations.engine import Progress

ALL_ARMS = "federated,pooled,local,scratch,logistic"


def compare(
    study: Annotated[Path, typer.Argument(help="The study file (TOML).")],
    *,
    sites: Annotated[Path, typer.Option(help="Federation folder.")],
    out: Annotated[Path, typer.Option(help="New folder for everything that this writes.")],
    arms: Annotated[str, typer.Option(help="Ways of training, with commas.")] = ALL_ARMS,
    seeds: Annotated[int, typer.Option(help="How many seeds, from the study's own up.")] = 1,
    actors: Annotated[
        int | None,
        typer.Option(min=1, help="Sites of a simulation that work at the same time."),
    ] = None,
    compute: Annotated[
        Path | None,
        typer.Option(help="A TOML file whose section 'compute' holds for all sites."),
    ] = None,
    attack: Annotated[
        str, typer.Option(help="On the federated models: none, loss, or lira and loss.")
    ] = "loss",
    shadows: Annotated[int, typer.Option(help="Models that lira trains, half with each.")] = 8,
    json: Annotated[bool, typer.Option("--json", help="Print the verdict as JSON only.")] = False,
) -> None:
    """Train a study in several ways and score each on the same held-out subjects.

    federated: on Flower's simulation engine. scratch: the same without pre-training. pooled:
    all records in one place. local: each site alone. logistic, boosting: a bag of tokens,
    pooled. From the federated arm's pre-trained model begin single_task, each task alone, and
    own_labels, each site with its own labels alone.

    The federated models are attacked: members of their training are guessed
    from their losses (loss), and by models trained without them (lira).

    The folder OUT is private: it holds predictions by subject.
    """
    from fedehr_shared.config import StudyConfig
    from fedehr_simulations.arms.request import ComparisonRequest
    from fedehr_simulations.attacks.plan import AttackPlan
    from fedehr_simulations.sites_compute import set_sites_compute

    set_sites_compute(compute)
    plan = AttackPlan.named(attack, shadows)
    names = tuple(name.strip() for name in arms.split(",") if name.strip())
    request = ComparisonRequest(StudyConfig.load(study), sites, names, seeds, out, actors, plan)
    found = run_and_watch(request)
    if json:
        console.print_json(found.verdict.model_dump(mode="json"))
    else:
        print_comparison(found)


def run_and_watch(request: "ComparisonRequest") -> "Comparison":
    """Run a comparison with progress on standard error."""
    from fedehr_simulations.arms.comparison import run_comparison

    return run_comparison(request, _watch, show_piece)


def print_comparison(found: "Comparison") -> None:
    """The differences in AUROC, then the table and where the files lie."""
    from fedehr_simulations.report.numbers import format_difference, settles_order
    from fedehr_simulations.report.terminal import print_verdict

    verdict, paths = found.verdict, found.paths
    for told in verdict.comparisons:
        if told.metric == "auroc":
            order = "" if settles_order(told.difference) else ": no order"
            figure = format_difference(told.difference, verdict.min_cell)
            where = "" if told.site is None else f", {told.site}"
            console.out.print(
                f"{told.task} AUROC, {told.arm} minus {told.reference}{where}: {figure}{order}",
                markup=False,
                soft_wrap=True,
            )
    print_verdict(verdict, console.out, paths["report"], paths["verdict"])


def show_piece(title: str, number: int, num: int) -> None:
    """One piece of a comparison is done."""
    console.err.print(f"done: {title} ({number} of {num})", markup=False, soft_wrap=True)


def _watch(title: str) -> "AbstractContextManager[Progress]":
    from fedehr_simulations.cli.live_progress import LiveProgress

    return LiveProgress(console.err, title)
