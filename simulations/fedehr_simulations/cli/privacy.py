"""`fedehr-sim privacy`: what noise costs, by way of tuning and epsilon."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fedehr_shared import console

BUILT_IN = "privacy-ways"


class Noise(StrEnum):
    """Where there is noise."""

    FINETUNING = "finetuning"
    BOTH = "both"
    ALL = "all"
    NONE = "none"


def privacy(  # noqa: PLR0917 - a command line's parameters
    study: Annotated[Path, typer.Argument(help="The study file (TOML), with \\[privacy].")],
    sites: Annotated[Path, typer.Option(help="Federation folder.")],
    out: Annotated[
        Path, typer.Option(help="Folder for all that this writes; a second call goes on there.")
    ],
    ways: Annotated[
        str,
        typer.Option(
            help="TOML with tables \\[variants.NAME], or the name of a built-in one: "
            "privacy-ways, privacy-head, privacy-levers."
        ),
    ] = BUILT_IN,
    epsilons: Annotated[str, typer.Option(help="Targets, with commas between.")] = "8,3,1",
    noise: Annotated[Noise, typer.Option(help="The phases with noise.")] = Noise.FINETUNING,
    seeds: Annotated[int, typer.Option(help="How many seeds, from the study's own up.")] = 3,
    grid_seeds: Annotated[
        int, typer.Option(help="So many of them try each grid; the others what was chosen.")
    ] = 1,
    actors: Annotated[
        int | None, typer.Option(min=1, help="Runs side by side; by default one a core.")
    ] = None,
    markdown: Annotated[
        Path | None,
        typer.Option(help="Also write the tables into this page, between its two marks."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON only.")] = False,
) -> None:
    """Fine-tune with noise and without, and say what share of the skill is kept.

    Every way begins from the same pre-trained model, or, with noise in both
    phases, from one that the same noise pre-trained. The tuning split chooses;
    held-out subjects only judge. A run that is done is not done again.
    """
    from fedehr_shared.config import StudyConfig
    from fedehr_shared.errors import TrainingError
    from fedehr_simulations.privacy_trials.page import write_privacy_page
    from fedehr_simulations.privacy_trials.tables import privacy_tables
    from fedehr_simulations.privacy_trials.trials import (
        PrivacyTrials,
        parse_scopes,
        run_privacy_trials,
    )
    from fedehr_simulations.report.text_table import print_tables

    file = _ways_file(ways)
    asked = PrivacyTrials(
        study=StudyConfig.load(study),
        federation=sites,
        ways=file,
        epsilons=_numbers(epsilons),
        scopes=tuple(parse_scopes(noise.value)),
        num_seeds=seeds,
        num_grid_seeds=grid_seeds,
        out=out,
        num_actors=actors,
    )
    record = run_privacy_trials(asked, _show_run)
    name = f"{file.stem}-{noise.value}"
    path = out / f"{name}.json"
    record.write(path)
    if markdown is not None:
        write_privacy_page(record, markdown, name)
    if json:
        console.print_json(record.model_dump(mode="json"))
    else:
        print_tables(privacy_tables(record), console.out)
        console.out.print(f"record: {path}", markup=False, soft_wrap=True)
    if record.failures:
        told = "\n".join(f"  {one.variant}: {one.reason}" for one in record.failures)
        raise TrainingError(f"{len(record.failures)} run(s) failed:\n{told}")


def _numbers(text: str) -> tuple[float, ...]:
    from fedehr_shared.errors import UsageError

    try:
        return tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise UsageError(f"--epsilons {text}: give numbers with commas, as 8,3,1.") from error


def _ways_file(name: str) -> Path:
    """A path, or the built-in file of this name."""
    from fedehr_simulations.recipes import recipe_file

    return Path(name) if name.endswith(".toml") else recipe_file(name)


def _show_run(title: str, number: int, num: int) -> None:
    console.err.print(f"done: {title} ({number} of {num})", markup=False, soft_wrap=True)
