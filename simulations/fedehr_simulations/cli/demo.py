"""`fedehr-sim demo`: synthetic hospitals, a study over them, and what it found."""

from pathlib import Path
from typing import Annotated

import typer

from fedehr_shared import console

ARMS = ("federated", "scratch", "logistic")
NUM_SUBJECTS, NUM_SITES, SEED = 3_000, 5, 0


def demo(
    out: Annotated[Path, typer.Option(help="New folder for the run.")] = Path("runs/demo"),
    json: Annotated[bool, typer.Option("--json", help="Print the verdict as JSON only.")] = False,
) -> None:
    """Make five synthetic hospitals and train one model with them, in a few minutes.

    The hospitals are written beside OUT, as OUT-hospitals. Each keeps its own records in the
    study, which runs on Flower's simulation engine.
    """
    from fedehr_shared.config import StudyConfig
    from fedehr_shared.errors import DataError
    from fedehr_simulations.arms.request import ComparisonRequest
    from fedehr_simulations.cli.compare import print_comparison, run_and_watch
    from fedehr_simulations.hospitals.folder import write_hospitals
    from fedehr_simulations.hospitals.plan import HospitalsPlan
    from fedehr_simulations.recipes import recipe_file

    study = StudyConfig.load(recipe_file("demo"))
    if out.exists():
        raise DataError(f"{out} exists already. Name a new folder, or remove it first.")
    hospitals = out.with_name(f"{out.name}-hospitals")
    made = write_hospitals(hospitals, HospitalsPlan(NUM_SUBJECTS, NUM_SITES, SEED))
    sizes = ", ".join(str(site["num_subjects"]) for site in made["sites"])
    console.err.print(f"made {NUM_SITES} hospitals with {sizes} subjects: {hospitals}")
    found = run_and_watch(ComparisonRequest(study, hospitals, ARMS, 1, out))
    if json:
        console.print_json(found.verdict.model_dump(mode="json"))
    else:
        print_comparison(found)
