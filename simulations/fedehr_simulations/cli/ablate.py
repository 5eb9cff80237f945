"""`fedehr-sim ablate`: pre-training varied one setting at a time."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedehr_shared import console

if TYPE_CHECKING:
    from fedehr_simulations.ablation.record import AblationRecord

BUILT_IN = "ablation-variants"


def ablate(  # noqa: PLR0917 - a command line's parameters
    study: Annotated[Path, typer.Argument(help="The study file (TOML) that is varied.")],
    sites: Annotated[Path, typer.Option(help="Federation folder.")],
    out: Annotated[
        Path, typer.Option(help="Folder for all that this writes; a second call goes on there.")
    ],
    variants: Annotated[
        Path | None,
        typer.Option(help="TOML with tables \\[variants.NAME]; without it the built-in ones."),
    ] = None,
    seeds: Annotated[int, typer.Option(help="How many seeds, from the study's own up.")] = 3,
    actors: Annotated[
        int | None, typer.Option(min=1, help="Runs side by side; by default one a core.")
    ] = None,
    markdown: Annotated[
        Path | None,
        typer.Option(help="Also write the tables into this page, between its two marks."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON only.")] = False,
) -> None:
    """Pre-train variants of a study, and say what each one's encodings are worth.

    Every variant meets the same tokens, splits, labels and masks. Its masked
    loss is told too. There is no fine-tuning: a logistic regression on frozen
    encodings is scored on the held-out subjects. A run that is done is not done
    again, so an interrupted ablation goes on where it was.
    """
    from fedehr_shared.config import StudyConfig
    from fedehr_shared.errors import TrainingError
    from fedehr_simulations.ablation.ablation import RECORD_FILE, AblationRequest, run_ablation
    from fedehr_simulations.ablation.page import write_page
    from fedehr_simulations.ablation.variants import read_variants
    from fedehr_simulations.recipes import recipe_file

    config = StudyConfig.load(study)
    listed = read_variants(config, variants or recipe_file(BUILT_IN))
    request = AblationRequest(config, sites, listed, seeds, out, actors)
    console.err.print(f"{len(listed)} variant(s), {seeds} seed(s); the runs' folder is {out}")
    record = run_ablation(request, _show_run)
    if markdown is not None:
        write_page(record, markdown)
    if json:
        console.print_json(record.model_dump(mode="json"))
    else:
        _print_tables(record)
        console.out.print(f"record: {out / RECORD_FILE}", markup=False, soft_wrap=True)
    if record.failures:
        told = "\n".join(
            f"  {run.variant}, seed {run.seed}: {run.reason}" for run in record.failures
        )
        raise TrainingError(f"{len(record.failures)} run(s) failed:\n{told}")


def _print_tables(record: "AblationRecord") -> None:
    from fedehr_simulations.ablation.tables import (
        FOOTNOTE,
        OTHER_TASK,
        WIDTH_NOTE,
        ablation_tables,
    )
    from fedehr_simulations.report.text_table import print_tables

    tables = ablation_tables(record)
    print_tables(tables, console.out)
    console.out.print(WIDTH_NOTE, soft_wrap=True)
    if any(OTHER_TASK in cell for told in tables for row in told.rows for cell in row[1:]):
        console.out.print(FOOTNOTE, soft_wrap=True)


def _show_run(title: str, number: int, num: int) -> None:
    console.err.print(f"done: {title} ({number} of {num})", markup=False, soft_wrap=True)
