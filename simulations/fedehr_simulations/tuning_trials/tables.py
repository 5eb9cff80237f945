"""The tables of a record of trials: held-out scores, the comparison with the first, costs."""

import json
from typing import Any

from fedehr_simulations.report.numbers import format_bytes, format_difference, withheld
from fedehr_simulations.report.text_table import TextTable
from fedehr_simulations.tuning_trials.record import TuningRecord, VariantResult
from fedehr_simulations.verdict.result import Interval

_NONE = "-"


def tuning_tables(record: TuningRecord) -> tuple[TextTable, ...]:
    """Scores; comparison with the first variant; costs."""
    return _scores(record), _comparison(record), _costs(record)


def format_settings(settings: dict[str, Any]) -> str:
    """`learning_rate = 0.01`, and so on."""
    told = (f"{key.rpartition('.')[2]} = {format_setting(v)}" for key, v in settings.items())
    return ", ".join(told) or _NONE


def format_setting(value: object) -> str:
    """As in a study's file."""
    return f"{value:g}" if isinstance(value, float) else json.dumps(value)


def _scores(record: TuningRecord) -> TextTable:
    tasks = _tasks(record)
    metrics = [f"{task}, {metric}" for task in tasks for metric in ("AUROC", "AUPRC")]
    rows = [
        (
            variant.name,
            str(len(variant.seeds)),
            format_settings(variant.chosen),
            *(
                _interval(interval, record.min_cell)
                for task in tasks
                for interval in (variant.scores[task].auroc, variant.scores[task].auprc)
            ),
        )
        for variant in record.variants
    ]
    title = (
        "Held-out subjects of all sites, with 95 % intervals over subjects and seeds; the rate was "
        "chosen on the tuning split"
    )
    return TextTable(title, ("variant", "seeds", "chosen", *metrics), tuple(rows))


def _comparison(record: TuningRecord) -> TextTable:
    tasks = _tasks(record)
    rows = [
        (variant.name, *_compared(variant, tasks, record.min_cell))
        for variant in record.variants
        if variant.name != record.reference
    ]
    title = (
        f"Against `{record.reference}`, paired by subject and seed: difference in AUROC; its mean "
        "over tasks, and the part of it above 0.5, as shares"
    )
    return TextTable(title, ("variant", *tasks, "AUROC kept", "skill kept"), tuple(rows))


def _compared(variant: VariantResult, tasks: list[str], min_cell: int) -> tuple[str, ...]:
    told = [format_difference(variant.scores[task].difference, min_cell) for task in tasks]
    share = variant.share
    if share is None:
        return (*told, _NONE, _NONE)
    return (*told, _percent(share.of_auroc), _percent(share.of_skill))


def _costs(record: TuningRecord) -> TextTable:
    rows = [
        (
            variant.name,
            format_bytes(variant.exchanged.up_per_round),
            format_bytes(variant.exchanged.down_per_round),
            format_bytes(variant.exchanged.base),
            _NONE if variant.aggregation_error is None else f"{variant.aggregation_error:.3f}",
            f"{variant.cpu_seconds:.0f}",
        )
        for variant in record.variants
    ]
    title = (
        "A site's bytes a round, what it is sent once, what averaging adapters loses of the ideal "
        "update (mean of the rounds), processor time of the fine-tuning"
    )
    header = ("variant", "up", "down", "once", "aggregation error", "CPU s")
    return TextTable(title, header, tuple(rows))


def _tasks(record: TuningRecord) -> list[str]:
    return list(record.variants[0].scores) if record.variants else []


def _interval(interval: Interval, min_cell: int) -> str:
    if interval.value is None or interval.low is None or interval.high is None:
        return withheld(min_cell)
    return f"{interval.value:.3f} ({interval.low:.3f} to {interval.high:.3f})"


def _percent(interval: Interval) -> str:
    if interval.value is None or interval.low is None or interval.high is None:
        return _NONE
    return f"{100 * interval.value:.1f} % ({100 * interval.low:.1f} to {100 * interval.high:.1f})"
