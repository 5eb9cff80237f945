"""`fedehr-sim efficiency`: what pre-training is worth with few labels, and with all."""

from pathlib import Path
from typing import Annotated

import typer

from fedehr_shared import console

ALL_ARMS = "pretrained,scratch,logistic,boosting"
LABELS = "64,128,256,512,1024,all"


def efficiency(  # noqa: PLR0917 - a command line's parameters
    study: Annotated[Path, typer.Argument(help="The study file (TOML).")],
    sites: Annotated[Path, typer.Option(help="Federation folder.")],
    out: Annotated[
        Path, typer.Option(help="Folder for all that this writes; a second call goes on there.")
    ],
    seeds: Annotated[int, typer.Option(help="How many seeds, from the study's own up.")] = 5,
    labels: Annotated[
        str, typer.Option(help="Labels of the federation, with commas; all: all.")
    ] = LABELS,
    arms: Annotated[str, typer.Option(help="Ways to learn, with commas.")] = ALL_ARMS,
    held_out_site: Annotated[
        str, typer.Option(help="A site that takes no part, and is scored too.")
    ] = "",
    labels_at: Annotated[
        str, typer.Option(help="The one site that has labels; all: the sites take turns.")
    ] = "all",
    actors: Annotated[
        int | None, typer.Option(min=1, help="Runs side by side; by default one a core.")
    ] = None,
    markdown: Annotated[
        Path | None,
        typer.Option(help="Also write the tables into this page, between its two marks."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON only.")] = False,
) -> None:
    """Was pre-training worth it? Scores by number of labels, beside three others.

    pretrained: the study's own pre-training and fine-tuning. scratch: the
    same net without pre-training, its learning rate tuned. logistic and
    boosting: a bag of tokens, tuned. All learn from the same labels, and a
    smaller draw is the beginning of a larger. own_labels, if it is asked
    for: each site fine-tunes with its own part of the labels alone, and is
    told beside the federation's model. What is done is not done again.
    """
    from fedehr_shared.config import StudyConfig
    from fedehr_simulations.efficiency.efficiency import RECORD_FILE, run_efficiency
    from fedehr_simulations.efficiency.page import write_page
    from fedehr_simulations.efficiency.request import EfficiencyRequest
    from fedehr_simulations.efficiency.tables import efficiency_tables
    from fedehr_simulations.efficiency.words import in_words
    from fedehr_simulations.report.text_table import print_tables

    request = EfficiencyRequest(
        study=StudyConfig.load(study),
        federation=sites,
        label_numbers=_numbers(labels),
        arms=tuple(name.strip() for name in arms.split(",") if name.strip()),
        num_seeds=seeds,
        held_out_site=held_out_site,
        labels_at=labels_at,
        out=out,
        num_actors=actors,
    )
    record = run_efficiency(request, _show_run)
    if markdown is not None:
        write_page(record, markdown)
    if json:
        console.print_json(record.model_dump(mode="json"))
        return
    print_tables(efficiency_tables(record), console.out)
    for line in in_words(record):
        console.out.print(line, markup=False, soft_wrap=True)
    console.out.print(f"record: {out / RECORD_FILE}", markup=False, soft_wrap=True)


def _numbers(text: str) -> tuple[int | None, ...]:
    """`64,all` as numbers, rising, with None for all.

    Raises:
        UsageError: something else stands there.
    """
    from fedehr_shared.errors import UsageError

    names = {name.strip() for name in text.split(",") if name.strip()}
    wrong = sorted(name for name in names if name != "all" and not name.isdecimal())
    if wrong:
        raise UsageError(f"--labels {text}: {wrong[0]!r} is neither a number nor all.")
    numbers = sorted(int(name) for name in names - {"all"})
    return (*numbers, None) if "all" in names else tuple(numbers)


def _show_run(title: str, number: int, num: int) -> None:
    console.err.print(f"done: {title} ({number} of {num})", markup=False, soft_wrap=True)
