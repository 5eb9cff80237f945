"""`fedehr-client train`: pre-training of a site's own records, on this machine alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedehr_client.cli.site_argument import named_site
from fedehr_shared.console import err, out, print_json
from fedehr_shared.errors import TrainingError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from fedehr_client.compute.config import ComputeConfig
    from fedehr_client.rehearsal.exam import Exam
    from fedehr_client.rehearsal.rehearsal import Rehearsal, RehearsalLength, Rehearsed
    from fedehr_client.rehearsal.rehearsal_plan import RehearsalPlan
    from fedehr_shared.meds.folder import SiteFolder

app = typer.Typer()
_NUM_STEPS_WITHOUT_STUDY = 500


@app.command("train")
def train(
    folder: Annotated[
        Path, typer.Argument(metavar="RECORDS", help="A site's MEDS folder; only read.")
    ],
    *,
    study: Annotated[
        Path | None,
        typer.Option("--study", help="study.toml; left out, a tiny model."),
    ] = None,
    vocabulary: Annotated[
        Path | None,
        typer.Option("--vocabulary", help="The study's vocabulary.json; left out, own codes."),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            "--steps",
            min=1,
            max=100_000,
            help="Left out, those of all the study's rounds; 500 with no study.",
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option("--minutes", min=0.01, max=10_080, help="By the clock, at a constant rate."),
    ] = None,
    overfit: Annotated[
        int | None,
        typer.Option(
            "--overfit",
            metavar="N",
            min=1,
            max=1_000,
            help="Learn N subjects by heart: a sound model and loop reach a loss near zero.",
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Keep the weights in this new file (safetensors). They tell of the records: "
            "treat the file as you treat those.",
        ),
    ] = None,
    compute: Annotated[
        Path | None,
        typer.Option("--compute", help="A TOML file with a compute section, such as site.toml."),
    ] = None,
    device: Annotated[str | None, typer.Option("--device", help="auto, cpu or cuda.")] = None,
    precision: Annotated[
        str | None, typer.Option("--precision", help="auto, fp32, bf16 or fp16.")
    ] = None,
    attention: Annotated[
        str | None, typer.Option("--attention", help="auto, sdpa, varlen, flex or padded.")
    ] = None,
    token_budget: Annotated[
        str | None, typer.Option("--token-budget", help="auto, or most tokens in memory at once.")
    ] = None,
    compile_layers: Annotated[
        str | None, typer.Option("--compile", help="auto, on or off.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="Of the CPU; left out, torch decides.")
    ] = None,
    min_cell: Annotated[
        int, typer.Option("--min-cell", min=2, max=1_000, help="The site's floor, in subjects.")
    ] = 11,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Pre-train on this site's records alone, to see what a study would learn here and how fast.

    Nothing is sent, and nothing is kept unless --out names a file.
    """
    from fedehr_client.rehearsal.rehearsal import RehearsalLength
    from fedehr_client.rehearsal.weights_file import check_new_file

    if steps is not None and minutes is not None:
        raise UsageError("--steps and --minutes cannot both be given.")
    if weights is not None and overfit is not None:
        raise UsageError(
            "--out cannot go with --overfit: such weights hold a few subjects' records by heart."
        )
    if weights is not None:
        check_new_file(weights)
    options: dict[str, str | int | None] = {
        "device": device,
        "precision": precision,
        "attention": attention,
        "token_budget": token_budget,
        "compile": compile_layers,
        "num_threads": threads,
    }
    asked = _Asked(
        site=named_site(folder),
        study=study,
        vocabulary=vocabulary,
        min_cell=min_cell,
        compute=_compute(compute, options),
    )
    if study is None and overfit is None and minutes is None:
        steps = steps or _NUM_STEPS_WITHOUT_STUDY
    length = RehearsalLength(steps, minutes)
    if overfit is None:
        _rehearse(asked, length, weights, as_json=as_json)
    else:
        _overfit(asked, overfit, length, as_json=as_json)


@dataclass(frozen=True)
class _Asked:
    """What the command line names."""

    site: "SiteFolder"
    study: Path | None
    vocabulary: Path | None
    min_cell: int
    compute: "ComputeConfig"


def _compute(file: Path | None, options: dict[str, str | int | None]) -> "ComputeConfig":
    """`[compute]` of the file, with what the options say instead."""
    from fedehr_client.compute.config import ComputeConfig
    from fedehr_client.compute.file import read_compute
    from fedehr_shared.config.section import parse

    given = {name: value for name, value in options.items() if value is not None}
    budget = str(given.get("token_budget", ""))
    if budget.isascii() and budget.isdigit():
        given["token_budget"] = int(budget)
    known = read_compute(file).model_dump() if file else {}
    return parse({**known, **given}, ComputeConfig, "the command line")


@contextmanager
def _prepared(asked: _Asked) -> Iterator["Rehearsal"]:
    """The site's token store in a private temporary folder, and what the study is tried with."""
    from fedehr_client.check.default_study import default_study
    from fedehr_client.check.vocabulary import own_vocabulary, read_vocabulary
    from fedehr_client.locator import SiteLocation
    from fedehr_client.rehearsal.rehearsal import Rehearsal
    from fedehr_client.scratch import scratch_folder
    from fedehr_shared.config.study import StudyConfig
    from fedehr_shared.processes import termination_interrupts

    site, min_cell = asked.site, asked.min_cell
    study = StudyConfig.load(asked.study) if asked.study else default_study(site, min_cell)
    with termination_interrupts(), scratch_folder(None) as work:
        with err.status("reading the records"):
            known = (
                read_vocabulary(asked.vocabulary)
                if asked.vocabulary
                else own_vocabulary(site, study, min_cell)
            )
            location = SiteLocation(
                name=site.name, records=site, work=work, min_cell=min_cell, compute=asked.compute
            )
            ready = Rehearsal(location, study, known)
        yield ready


def _rehearse(
    asked: _Asked, length: "RehearsalLength", weights: Path | None, *, as_json: bool
) -> None:
    from fedehr_client.cli.training_display import TrainingDisplay
    from fedehr_client.rehearsal.weights_file import write_weights

    with _prepared(asked) as rehearsal:
        plan = rehearsal.plan()
        _print_plan(plan, err if as_json else out)
        with TrainingDisplay(err, length.minutes) as display:
            done = rehearsal.train(length, display.step)
        if weights is not None:
            write_weights(weights, done.weights, rehearsal.about)
        told = {**plan.to_dict(), **done.to_dict(), "out": weights and str(weights)}
    if as_json:
        print_json(told)
    else:
        _print_done(done, weights)


def _overfit(asked: _Asked, num_subjects: int, length: "RehearsalLength", *, as_json: bool) -> None:
    from fedehr_client.cli.training_display import TrainingDisplay

    with _prepared(asked) as rehearsal:
        few = rehearsal.few_subjects(num_subjects)
        plan = rehearsal.plan(num_subjects)
        _print_plan(plan, err if as_json else out)
        with TrainingDisplay(err, length.minutes) as display:
            found = rehearsal.overfit(few, length, display.overfit)
        told = {**plan.to_dict(), "overfit": found.to_dict()}
    if as_json:
        print_json(told)
    if not found.reached:
        raise TrainingError(found.sentence)
    if not as_json:
        out.print(found.sentence, soft_wrap=True)


def _print_plan(plan: "RehearsalPlan", console: "Console") -> None:
    for line in plan.lines:
        console.print(line, markup=False, soft_wrap=True)


def _print_done(done: "Rehearsed", weights: Path | None) -> None:
    verdict = done.verdict
    reference = "the code frequencies" if verdict.names_events else "chance"
    out.print(f"{done.num_steps:,} steps in {done.seconds:.1f} s")
    out.print(_loss_line("train", verdict.training, reference))
    if verdict.held_out is None:
        out.print("held-out loss: withheld, the tuning split has too few subjects")
    else:
        out.print(_loss_line("held-out", verdict.held_out, reference))
    out.print(verdict.sentence, soft_wrap=True)
    if weights is not None:
        out.print(f"weights: {weights} (they tell of the records)", markup=False, soft_wrap=True)


def _loss_line(name: str, exam: "Exam", reference: str) -> str:
    return f"{name} loss: {exam.loss:.3f} nats; {reference} alone: {exam.reference:.3f}"
