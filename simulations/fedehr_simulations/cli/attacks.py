"""`fedehr-sim attacks`: all attacks on small synthetic hospitals, by epsilon."""

from pathlib import Path
from typing import Annotated

import typer

from fedehr_shared import console

NO_NOISE = "none"
MOST_EPSILON = 1_000
"""As in `[privacy] target_epsilon`."""


def attacks(  # noqa: PLR0917 - a command line's parameters
    out: Annotated[Path, typer.Option(help="New folder for all that this writes.")],
    epsilons: Annotated[str, typer.Option(help="Targets, with commas; none: no noise.")] = (
        "none,8,1"
    ),
    subjects: Annotated[int, typer.Option(help="Synthetic subjects, over two hospitals.")] = 800,
    shadows: Annotated[int, typer.Option(help="Models that lira trains, for each epsilon.")] = 4,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of each training.")] = 10,
    markdown: Annotated[
        Path | None,
        typer.Option(help="Also write the tables into this page, between its two marks."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON only.")] = False,
) -> None:
    """Attack models that were trained too long, with noise and without.

    Who was in the training is guessed (loss, lira); planted canaries are
    looked for; one step of one hospital is read for a subject's codes; and
    the client's private steps are held to their epsilon by what they let out.
    """
    # Before what takes seconds to load.
    targets = _targets(epsilons)
    from fedehr_simulations.attacks.plan import AttackPlan
    from fedehr_simulations.attacks.trials.page import write_attack_page
    from fedehr_simulations.attacks.trials.record import RECORD_FILE
    from fedehr_simulations.attacks.trials.tables import attack_tables
    from fedehr_simulations.attacks.trials.trials import AttackTrials, run_attack_trials
    from fedehr_simulations.report.text_table import print_tables

    AttackPlan.named("lira", shadows)
    asked = AttackTrials(out, targets, subjects, shadows, rounds)
    record = run_attack_trials(asked, _show_done, _show_step)
    if markdown is not None:
        write_attack_page(record, markdown)
    if json:
        console.print_json(record.model_dump(mode="json"))
        return
    print_tables(attack_tables(record), console.out)
    console.out.print(f"record: {out / RECORD_FILE}", markup=False, soft_wrap=True)


def _targets(text: str) -> tuple[float | None, ...]:
    """`none,8` as numbers, None for no noise.

    Raises:
        UsageError: something else stands there.
    """
    from fedehr_shared.errors import UsageError

    names = [name.strip() for name in text.split(",") if name.strip()]
    try:
        targets = tuple(None if name == NO_NOISE else float(name) for name in names)
    except ValueError as error:
        raise UsageError(
            f"--epsilons {text}: give numbers or {NO_NOISE} with commas, as none,8,1."
        ) from error
    is_sound = all(target is None or 0 < target <= MOST_EPSILON for target in targets)
    if not targets or not is_sound or len(set(targets)) < len(targets):
        raise UsageError(
            f"--epsilons {text}: give different numbers above 0 and up to {MOST_EPSILON:,}, or "
            f"{NO_NOISE}."
        )
    return targets


def _show_done(title: str, number: int, num: int) -> None:
    console.err.print(f"done: {title} ({number} of {num})", markup=False, soft_wrap=True)


def _show_step(what: str) -> None:
    console.err.print(f"now: {what}", markup=False, soft_wrap=True)
