"""`write_report`: one HTML page without scripts, network requests or outside resources."""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from fedehr_shared.errors import FedehrError
from fedehr_simulations.report import numbers
from fedehr_simulations.report.attack_figure import draw_attacks
from fedehr_simulations.report.attack_table import attack_notes, attack_table
from fedehr_simulations.report.figures import (
    Progress,
    draw_bytes,
    draw_finetuning,
    draw_forest,
    draw_pretraining,
)
from fedehr_simulations.report.privacy_lines import spent_lines
from fedehr_simulations.verdict.result import METRICS
from fedehr_simulations.verdict.verdict import Verdict

TEMPLATE = "report.html.j2"
LEAD_ARM = "federated"


def write_report(verdict: Verdict, progress_by_arm: Progress, path: Path) -> None:
    """Write the report of `verdict` to `path`, whole or not at all.

    Args:
        verdict: what the run found.
        progress_by_arm: by arm, the parsed lines of its `progress.jsonl` (`read_progress`);
            may be empty, then fine-tuning has no curve.
        path: the HTML file.
    """
    text = render_report(verdict, progress_by_arm)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def render_report(verdict: Verdict, progress_by_arm: Progress) -> str:
    """The page's text; the same for the same input."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("fedehr_simulations.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(_filters(verdict.min_cell))
    return environment.get_template(TEMPLATE).render(
        verdict=verdict,
        metrics=METRICS,
        metric_titles=numbers.METRIC_TITLES,
        settles_order=numbers.settles_order,
        lead=LEAD_ARM if LEAD_ARM in verdict.arms else next(iter(verdict.arms), None),
        tasks=[_describe_task(verdict, progress_by_arm, task) for task in verdict.task_names],
        pretraining=draw_pretraining(verdict, "pretraining"),
        bytes_figure=draw_bytes(verdict, "bytes"),
        attacks=_describe_attacks(verdict),
        spent_lines=[] if verdict.privacy is None else list(spent_lines(verdict.privacy)),
        no_epsilon=_no_epsilon(verdict),
    )


def read_progress(path: Path) -> list[dict[str, Any]]:
    """The parsed lines of a `progress.jsonl`.

    Raises:
        FedehrError: the file is missing or a line is not a JSON object.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        events = [json.loads(line) for line in lines]
    except (OSError, ValueError) as error:
        raise FedehrError(f"cannot read {path}. Run the study again.") from error
    if not all(isinstance(event, dict) for event in events):
        raise FedehrError(f"{path} holds a line that is no JSON object. Run the study again.")
    return events


def _filters(min_cell: int) -> dict[str, Callable[..., Any]]:
    return {
        "interval": partial(numbers.format_interval, min_cell=min_cell),
        "difference": partial(numbers.format_difference, min_cell=min_cell),
        "positives": partial(numbers.format_counts, min_cell=min_cell),
        "number": partial(numbers.format_count, min_cell=min_cell),
        "share": partial(numbers.format_share, min_cell=min_cell),
        "bytes": numbers.format_bytes,
        "seconds": numbers.format_seconds,
    }


def _describe_attacks(verdict: Verdict) -> dict[str, Any] | None:
    if not verdict.attacks:
        return None
    models = dict.fromkeys(attack.model for attack in verdict.attacks)
    figures = {
        model: draw_attacks([a for a in verdict.attacks if a.model == model], f"attack-{model}")
        for model in models
    }
    return {
        "table": attack_table(verdict.attacks),
        "notes": attack_notes(verdict.attacks),
        "figures": {model: drawn for model, drawn in figures.items() if drawn is not None},
    }


def _no_epsilon(verdict: Verdict) -> str:
    """Why a site has no epsilon of its own."""
    if verdict.privacy is None:
        return "no noise in training"
    return "noise at the coordinator" if verdict.privacy.unit == "site" else "no answer counted"


def _describe_task(verdict: Verdict, progress: Progress, task: str) -> dict[str, Any]:
    results = {arm: r.tasks[task] for arm, r in verdict.arms.items() if task in r.tasks}
    # Task names are free text; identifiers in the page are not.
    anchor = f"task-{hashlib.sha256(task.encode()).hexdigest()[:8]}"
    return {
        "name": task,
        "anchor": anchor,
        "results": results,
        "oracle": next((r.oracle for r in results.values() if r.oracle is not None), None),
        "sites": list(dict.fromkeys(site for r in results.values() for site in r.per_site)),
        "comparisons": [c for c in verdict.comparisons if c.task == task],
        "forest": draw_forest(verdict, task, f"{anchor}-forest"),
        "finetuning": draw_finetuning(progress, task, f"{anchor}-finetuning"),
    }
