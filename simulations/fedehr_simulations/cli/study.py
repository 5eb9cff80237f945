"""`fedehr-sim study`: study files."""

from pathlib import Path
from typing import Annotated

import typer

from fedehr_shared import console

study = typer.Typer(name="study", help="Study files.", no_args_is_help=True)


@study.callback()
def _root() -> None:
    pass


@study.command()
def new(
    path: Annotated[Path, typer.Argument(help="New file to write.")],
    name: Annotated[str, typer.Option(help="The study's name.")] = "my-study",
    tasks: Annotated[str, typer.Option(help="Tasks, with commas.")] = "in_hospital_death,long_stay",
    epsilon: Annotated[
        float, typer.Option(min=0, help="Above 0: sites add noise, for so much by subject.")
    ] = 0.0,
    delta: Annotated[float, typer.Option(min=0, help="The delta that goes with it.")] = 1e-5,
) -> None:
    """Write a study file with every key explained and at its default."""
    from fedehr_shared.errors import DataError
    from fedehr_simulations.study_template import write_study_text

    privacy = {"mechanism": "local", "target_epsilon": epsilon, "target_delta": delta}
    text = write_study_text(
        name, [task.strip() for task in tasks.split(",")], privacy if epsilon else None
    )
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise DataError(f"{path} exists already. Name a new file, or remove it first.") from error
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror}. Name another place.") from error
    console.out.print(f"study: {path}", markup=False, soft_wrap=True)
