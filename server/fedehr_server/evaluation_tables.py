"""`evaluation.json` as tables for the terminal."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from fedehr_shared.errors import DataError

EVALUATION_FILE = "evaluation.json"
Json = Mapping[str, Any]

_TITLES = {
    "auroc": "AUROC", "auprc": "AUPRC", "brier": "Brier", "calibration_error": "cal. error",
    "calibration_slope": "slope", "calibration_intercept": "intercept", "accuracy": "accuracy",
    "concordance": "concordance", "mae": "MAE", "rmse": "RMSE", "r2": "R2", "spearman": "Spearman",
}  # fmt: skip
_AT = {"sensitivity": "sensitivity", "specificity": "specificity", "ppv": "PPV"}
_NOTHING = "-"


def read_evaluation(path: Path) -> dict[str, Any]:
    """The evaluation in a run's folder, or in a file.

    Raises:
        DataError: there is none, or it is damaged.
    """
    file = path / EVALUATION_FILE if path.is_dir() else path
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"cannot read {file}. Name the folder of a run that ended with its evaluation."
        ) from error
    if not isinstance(value, dict) or not all(
        isinstance(about, dict) and "per_site" in about for about in value.values()
    ):
        raise DataError(f"{file} is no evaluation of this fedehr version. Run the study again.")
    return value


def tables_of_all(evaluation: Json) -> list[Table]:
    """The tables of all tasks.

    Raises:
        DataError: what they should show is missing, or is something else.
    """
    try:
        return [table for task, about in evaluation.items() for table in tables_of(task, about)]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            "the evaluation is damaged, or is none of this fedehr version. Run the study again."
        ) from error


def tables_of(task: str, about: Json) -> Iterator[Table]:
    """The tables of a task: its sites, its subgroups, its thresholds."""
    yield from _tables(task, about)
    for name, one in about.get("classes", {}).items():
        yield from _tables(f"{task}: {name}", one)
    if "times" in about:
        yield from _tables(f"{task}: order of times", about["times"])


def _tables(title: str, about: Json) -> Iterator[Table]:
    yield _sites(title, about)
    groups = _subgroups(title, about)
    if groups.row_count:
        yield groups
    if about.get("pooled", {}).get("thresholds"):
        yield _thresholds(title, about)


def _sites(title: str, about: Json) -> Table:
    """One row a site, the worst marked, and the pooled row with its bounds."""
    told = {site: one for site, one in about["per_site"].items() if "num" in one}
    metrics = [m for m in _TITLES if any(m in one for one in told.values())]
    table = _table(title, ["site", "positive of all", *(_TITLES[m] for m in metrics)])
    worst = about.get("worst_site") or {}
    for site, one in about["per_site"].items():
        if "num" not in one:
            table.add_row(escape(site), f"withheld: {escape(one['reason'])}")
            continue
        mark = " (worst)" if site == worst.get("site") else ""
        cells = [_interval(one.get(metric, {})) for metric in metrics]
        table.add_row(escape(site) + mark, _counts(one), *cells)
    pooled = about.get("pooled", {})
    if "reason" in pooled:
        table.add_row("pooled", f"withheld: {escape(pooled['reason'])}")
    else:
        cells = [_bound(pooled.get(metric, {})) for metric in metrics]
        num, num_all = len(pooled.get("sites", told)), len(about["per_site"])
        name = "pooled" if num == num_all else f"pooled ({num} of {num_all})"
        table.add_row(name, _counts(pooled), *cells, style="bold")
    table.caption = _caption(about)
    return table


def _caption(about: Json) -> str:
    """How each site calibrated, and by how much the Brier score fell."""
    words = []
    for site, line in about.get("calibration", {}).items():
        if line["slope"] is None:
            words.append(f"{site}: not calibrated ({line['reason']})")
            continue
        own = about["per_site"].get(site, {})
        before, after = own.get("uncalibrated", {}).get("brier"), own.get("brier", {}).get("value")
        change = "" if None in (before, after) else f", Brier {before:.4f} to {after:.4f}"
        words.append(f"{site}: slope {line['slope']:g}, intercept {line['intercept']:g}{change}")
    return escape("; ".join(words))


def _subgroups(title: str, about: Json) -> Table:
    rows = [
        (site, kind, group, one)
        for site, numbers in about["per_site"].items()
        for kind, groups in numbers.get("subgroups", {}).items()
        for group, one in groups.items()
    ]
    told = [one for *_, one in rows if "num" in one]
    metrics = [m for m in _TITLES if any(m in one for one in told)]
    headings = ["site", "subgroup", "positive of all", *(_TITLES[m] for m in metrics)]
    table = _table(f"{title}, subgroups", headings)
    hidden: dict[str, int] = {}
    for site, kind, group, one in rows:
        if "num" not in one:
            hidden[one["reason"]] = hidden.get(one["reason"], 0) + 1
            continue
        cells = [_interval(one.get(metric, {})) for metric in metrics]
        table.add_row(escape(site), escape(f"{kind} {group}"), _counts(one), *cells)
    table.caption = escape("; ".join(f"{num} withheld: {why}" for why, num in hidden.items()))
    return table


def _thresholds(title: str, about: Json) -> Table:
    table = _table(f"{title}, thresholds", ["site", "at", *_AT.values()])
    sites = {**about["per_site"], "pooled": about["pooled"]}
    for site, one in sites.items():
        for line in one.get("thresholds", []):
            table.add_row(escape(site), f"{line['at']:g}", *(_bound(line[key]) for key in _AT))
    return table


def _table(title: str, headings: list[str]) -> Table:
    table = Table(title=escape(title), title_justify="left", caption_justify="left")
    for place, heading in enumerate(headings):
        table.add_column(heading, justify="left" if place == 0 else "right", overflow="fold")
    return table


def _counts(one: Json) -> str:
    if "num" not in one:
        return ""
    return f"{one['num_positive']} of {one['num']}" if "num_positive" in one else f"{one['num']}"


def _interval(found: Json) -> str:
    if found.get("value") is None:
        return _NOTHING
    return f"{found['value']:.3f} ({found['low']:.2f} to {found['high']:.2f})"


def _bound(found: Json) -> str:
    if found.get("value") is None:
        return _NOTHING
    return f"{found['value']:.3f} [{found['least']:.3f} to {found['greatest']:.3f}]".replace(
        "[", r"\["
    )
