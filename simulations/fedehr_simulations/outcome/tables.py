"""The verdict as one long table, for whoever plots or joins it."""

from pathlib import Path

import pandas as pd

from fedehr_simulations.private_file import private_opener
from fedehr_simulations.verdict.result import METRICS, Scores
from fedehr_simulations.verdict.verdict import Verdict

ALL_SITES = "(all)"


def results_table(verdict: Verdict) -> pd.DataFrame:
    """One row an arm, task, site and metric; pooled rows have the site `(all)`.

    Columns: arm, task, site, metric, value, low, high, num, num_positive, reason.
    """
    rows = [
        row
        for arm, result in verdict.arms.items()
        for task, scores in result.tasks.items()
        for site, part in [(ALL_SITES, scores), *sorted(scores.per_site.items())]
        for row in _rows(arm, task, site, part)
    ]
    table = pd.DataFrame(rows)
    return table.astype({"num": "Int64", "num_positive": "Int64"})


def write_table(verdict: Verdict, path: Path) -> None:
    """Write the table as CSV, readable by its owner alone; an empty cell is withheld, and its
    reason stands beside it."""
    with open(path, "w", encoding="utf-8", newline="", opener=private_opener) as file:
        results_table(verdict).to_csv(file, index=False)


def _rows(arm: str, task: str, site: str, scores: Scores) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for name in METRICS:
        interval = scores.metric(name)
        rows.append(
            {
                "arm": arm,
                "task": task,
                "site": site,
                "metric": name,
                "value": interval.value,
                "low": interval.low,
                "high": interval.high,
                "num": scores.num,
                "num_positive": scores.num_positive,
                "reason": interval.reason or "",
            }
        )
    return rows
