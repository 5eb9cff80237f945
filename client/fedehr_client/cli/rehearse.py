"""`fedehr-client rehearse DIR`: a whole small study here, before any coordinator is asked."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedehr_shared.console import err, out, print_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fedehr_client.trial.trial_report import TrialReport

app = typer.Typer()
_DIGEST_SHOWN = 12


@app.command()
def rehearse(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The node's folder.")],
    *,
    study: Annotated[
        Path | None, typer.Option(metavar="STUDY.toml", help="Left out, the default recipe.")
    ] = None,
    rounds: Annotated[
        int, typer.Option(min=1, max=1_000, help="Of pre-training and of fine-tuning each.")
    ] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Run a small study on this site's own records, with a coordinator of its own.

    Shows time, memory, bytes and receipts, and what the whole study would
    cost. Nothing leaves this machine, and nothing of it counts for the
    site: key, ledger, outbox and audit are others, and are thrown away.
    """
    from fedehr_client.node.folder import open_node
    from fedehr_client.trial.trial import rehearse as run_trial
    from fedehr_shared.config.study import StudyConfig
    from fedehr_shared.processes import termination_interrupts

    config = open_node(folder).config()
    named = None if study is None else StudyConfig.load(study)
    with termination_interrupts():
        report = run_trial(config, named, rounds, lambda step: err.print(f"{step} ..."))
    if as_json:
        print_json(report.to_dict())
    else:
        for line in _lines(report):
            out.print(line, soft_wrap=True, markup=False, emoji=False)
    if report.status != "completed":
        err.print(f"failed: {report.message}", soft_wrap=True, markup=False)
        raise typer.Exit(report.exit_code)


def _lines(report: "TrialReport") -> "Iterator[str]":
    yield f"study '{report.study.name}': {report.status} in {report.seconds:.0f} s"
    yield ""
    yield "time and bytes by phase"
    for phase, found in report.phases.items():
        later = "" if found.later_seconds is None else f", then {found.later_seconds:.1f} s"
        yield (
            f"  {phase:<12} {found.num_rounds} round(s): the first {found.first_seconds:.1f} s"
            f"{later}; {found.total_bytes:,} bytes left"
        )
    yield ""
    yield "memory at the most"
    for kind, num_bytes in sorted(report.peak_bytes.items(), key=lambda each: -each[1]):
        yield f"  {kind:<14} {num_bytes / 1e6:,.0f} MB"
    yield f"  {'all at once':<14} {report.peak_total_bytes / 1e6:,.0f} MB"
    yield ""
    yield f"receipts: {len(report.receipts)}"
    for line in report.receipts:
        norm = "" if line.norm is None else f", norm {line.norm:.3g}"
        digest = line.sha256[:_DIGEST_SHOWN]
        yield f"  {line.work:<14} {line.num_bytes:>12,} bytes{norm}, {digest}, {line.verdict}"
    for code, number in report.errors.items():
        yield f"  error '{code}' in place of an answer: {number}"
    yield ""
    if report.status == "completed":
        yield from _whole_lines(report)
    else:
        yield "the node's own logs say"
        yield from (f"  {line}" for line in report.reasons)
    yield ""
    yield "not kept from the site file"
    for key, reason in report.set_aside.items():
        yield f"  {key}: {reason}"


def _whole_lines(report: "TrialReport") -> "Iterator[str]":
    rounds = ", ".join(f"{phase} {number}" for phase, number in report.whole_rounds.items())
    yield f"the whole study ({rounds}) would take this machine about"
    yield f"  {_duration(report.whole_seconds)}, without the waits for other sites"
    yield f"  {report.whole_bytes / 1e6:,.1f} MB to send"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5_400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3_600:.1f} h"
