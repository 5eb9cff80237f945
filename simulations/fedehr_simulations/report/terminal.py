"""The table that ends a run in the terminal."""

from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fedehr_simulations.report.attack_table import attack_notes, attack_table
from fedehr_simulations.report.numbers import METRIC_TITLES, format_interval
from fedehr_simulations.report.privacy_lines import privacy_lines
from fedehr_simulations.report.text_table import print_tables
from fedehr_simulations.verdict.result import METRICS, Interval
from fedehr_simulations.verdict.verdict import Verdict


def print_verdict(verdict: Verdict, console: Console, report: Path, verdict_file: Path) -> None:
    """Print arms by tasks with intervals, then where the report and the verdict lie.

    Args:
        verdict: what the run found.
        console: usually `fedehr_shared.console.out`.
        report: path of `report.html`.
        verdict_file: path of `verdict.json`.
    """
    console.print(results_table(verdict))
    if verdict.attacks:
        print_tables([attack_table(verdict.attacks)], console)
        for note in attack_notes(verdict.attacks):
            console.print(Text(note), soft_wrap=True)
    if verdict.privacy is not None:
        for line in privacy_lines(verdict.privacy):
            console.print(Text(line), soft_wrap=True)
    console.print("95 % intervals; where two overlap, neither arm is shown to be better.")
    # Paths stay on one line, so that they can be copied.
    console.print(Text(f"report:  {report}"), soft_wrap=True)
    console.print(Text(f"verdict: {verdict_file}"), soft_wrap=True)


def results_table(verdict: Verdict) -> Table:
    """One row an arm, under its task; fits 80 columns. The oracle's AUROC where known."""
    title = Text(f"study {verdict.study.name}")
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("")
    for metric in METRICS:
        table.add_column(METRIC_TITLES[metric])
    for task in verdict.task_names:
        results = [(a, r.tasks[task]) for a, r in verdict.arms.items() if task in r.tasks]
        # Text, not markup: names may hold brackets.
        table.add_row(Text(task, style="bold"), "", "", "")
        for arm, result in results:
            figures = [_figure(result.metric(metric), verdict.min_cell) for metric in METRICS]
            table.add_row(Text(f"  {arm}"), *figures)
            worst = result.worst_site
            if worst is not None and len(result.per_site) > 1:
                least = _figure(result.per_site[worst].auroc, verdict.min_cell)
                table.add_row(Text("    worst site", style="dim"), least, Text(worst), "")
            slope, error = _short(result.calibration_slope), _short(result.calibration_error)
            if slope or error:
                words = Text("    calibration", style="dim")
                table.add_row(words, f"slope {slope or '-'}", f"error {error or '-'}", "")
        oracle = next((r.oracle for _, r in results if r.oracle is not None), None)
        if oracle is not None:
            table.add_row(Text("  oracle", style="dim"), f"{oracle:.3f}", "", "")
        table.add_section()
    return table


def _figure(interval: Interval, min_cell: int) -> str:
    return format_interval(interval, min_cell).replace(" to ", "-")


def _short(interval: Interval | None) -> str:
    return "" if interval is None or interval.value is None else f"{interval.value:.3f}"
