"""`fedehr-sim tune`: many fine-tunings of one pre-trained model, side by side."""

from pathlib import Path
from typing import Annotated

import typer

from fedehr_shared import console

BUILT_IN = "tuning-variants"


def tune(  # noqa: PLR0917 - a command line's parameters
    study: Annotated[Path, typer.Argument(help="The study file (TOML) that is varied.")],
    sites: Annotated[Path, typer.Option(help="Federation folder.")],
    out: Annotated[
        Path, typer.Option(help="Folder for all that this writes; a second call goes on there.")
    ],
    variants: Annotated[
        str,
        typer.Option(
            help="TOML with tables \\[variants.NAME], or the name of a built-in one: "
            "tuning-variants, lora-against-full, adapter-variants, aggregation-variants, "
            "pooling-variants, loss-variants."
        ),
    ] = BUILT_IN,
    seeds: Annotated[int, typer.Option(help="How many seeds, from the study's own up.")] = 3,
    grid_seeds: Annotated[
        int,
        typer.Option(help="So many of them try each variant's grid; the others what was chosen."),
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
    """Fine-tune one pre-trained model in several ways, and say what each is worth.

    Every variant begins from the same model and meets the same labels. Of a
    variant's grid the tuning split chooses; held-out subjects only judge. A run
    that is done is not done again, so what was interrupted goes on.
    """
    from fedehr_shared.config import StudyConfig
    from fedehr_shared.errors import TrainingError
    from fedehr_simulations.report.text_table import print_tables
    from fedehr_simulations.tuning_trials.page import write_page
    from fedehr_simulations.tuning_trials.tables import tuning_tables
    from fedehr_simulations.tuning_trials.trials import TrialsRequest, run_trials
    from fedehr_simulations.tuning_trials.variants import read_tuning_variants

    config, file = StudyConfig.load(study), _variants_file(variants)
    listed = read_tuning_variants(config, file)
    request = TrialsRequest(config, sites, listed, seeds, grid_seeds, out, actors)
    console.err.print(f"{len(listed)} variant(s), {seeds} seed(s); the runs' folder is {out}")
    record = run_trials(request, _show_run)
    path = out / f"{file.stem}.json"
    record.write(path)
    if markdown is not None:
        write_page(record, markdown, file.stem)
    if json:
        console.print_json(record.model_dump(mode="json"))
    else:
        print_tables(tuning_tables(record), console.out)
        console.out.print(f"record: {path}", markup=False, soft_wrap=True)
    if record.failures:
        told = "\n".join(f"  {one.variant}: {one.reason}" for one in record.failures)
        raise TrainingError(f"{len(record.failures)} run(s) failed:\n{told}")


def _variants_file(name: str) -> Path:
    """A path, or the built-in file of this name."""
    from fedehr_simulations.recipes import recipe_file

    return Path(name) if name.endswith(".toml") else recipe_file(name)


def _show_run(title: str, number: int, num: int) -> None:
    console.err.print(f"done: {title} ({number} of {num})", markup=False, soft_wrap=True)
