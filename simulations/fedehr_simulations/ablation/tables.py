"""The tables of an ablation: losses and costs, then probes; for a terminal and for a page."""

from collections.abc import Sequence

from fedehr_simulations.ablation.figures import RunFigures, SiteLosses
from fedehr_simulations.ablation.record import AblationRecord
from fedehr_simulations.ablation.spread import Spread
from fedehr_simulations.report.numbers import format_bytes, format_difference
from fedehr_simulations.report.text_table import TextTable

NOT_APPLICABLE = "n/a"
OTHER_TASK = "*"
WIDTH_NOTE = (
    "half an interval: half the 95 % interval over held-out subjects of one run, on average."
)
FOOTNOTE = (
    "* the same hidden events, named by encoder and decoder, which read the visible ones alone: "
    "another task, not to be compared with the other rows."
)
_LOSS_TITLE = (
    "Masked loss of held-out subjects (nats a hidden event, mean of the sites), the same with the "
    "private bias that each site kept, processor time, bytes that a site sends a round"
)
_PROBE_TITLE = "Linear probe: AUROC of held-out subjects, by task and number of labels"

_DIFFERENCE_TITLE = (
    "The same AUROC, with paired 95 % intervals over subjects: difference to the variant"
)


def ablation_tables(record: AblationRecord) -> tuple[TextTable, ...]:
    """Losses and costs; probes; their differences to the first variant's.

    A variant without a finished run has `failed` throughout.
    """
    return _losses(record), _probes(record), *_differences(record)


def _losses(record: AblationRecord) -> TextTable:
    header = (
        "variant", "seeds", "passes", "loss", "worst site", "own bias", "worst site", "CPU s", "up",
    )  # fmt: skip
    rows = []
    for variant in record.variants:
        runs = record.runs_of(variant.name)
        if not runs:
            rows.append((variant.name, "failed", *[""] * (len(header) - 2)))
            continue
        passes = runs[0].passes
        rows.append(
            (
                variant.name,
                str(len(runs)),
                "by site" if passes is None else f"{passes:g}",
                *_loss_cells(runs),
                *_site_cells([run.masked_loss_own_bias for run in runs]),
                _cell(Spread.of(run.cpu_seconds for run in runs), 0),
                format_bytes(sum(run.bytes_up_per_round for run in runs) / len(runs)),
            )
        )
    return TextTable(_LOSS_TITLE, header, tuple(rows))


def _loss_cells(runs: Sequence[RunFigures]) -> tuple[str, str]:
    if all(run.own_loss is None for run in runs):
        return _site_cells([run.masked_loss for run in runs])
    mean, worst = _site_cells([run.own_loss for run in runs])
    return mean + OTHER_TASK, worst + OTHER_TASK


def _site_cells(losses: Sequence[SiteLosses | None]) -> tuple[str, str]:
    told = [loss for loss in losses if loss is not None]
    return (
        _cell(Spread.of(loss.mean for loss in told), 3),
        _cell(Spread.of(loss.worst for loss in told), 3),
    )


def _probes(record: AblationRecord) -> TextTable:
    keys = list(
        dict.fromkeys((score.task, score.num_labels) for run in record.runs for score in run.probe)
    )
    rows = [
        (variant.name, *(_probe_cell(record.runs_of(variant.name), *key) for key in keys))
        for variant in record.variants
    ]
    widths = [_half_width(record.runs, *key) for key in keys]
    rows.append(("half an interval", *widths))
    return TextTable(_PROBE_TITLE, ("variant", *map(_key_text, keys)), tuple(rows))


def _probe_cell(runs: Sequence[RunFigures], task: str, num_labels: int | None) -> str:
    if not runs:
        return "failed"
    return _cell(Spread.of(_aurocs(runs, task, num_labels)), 3)


def _aurocs(runs: Sequence[RunFigures], task: str, num_labels: int | None) -> list[float | None]:
    return [
        score.auroc.value
        for run in runs
        for score in run.probe
        if (score.task, score.num_labels) == (task, num_labels)
    ]


def _differences(record: AblationRecord) -> tuple[TextTable, ...]:
    if not record.differences:
        return ()
    keys = list(dict.fromkeys((told.task, told.num_labels) for told in record.differences))
    found = {
        (told.variant, told.task, told.num_labels): format_difference(told.auroc, record.min_cell)
        for told in record.differences
    }
    rows = [
        (name, *(found[name, *key] for key in keys))
        for name in dict.fromkeys(told.variant for told in record.differences)
    ]
    title = f"{_DIFFERENCE_TITLE} {record.differences[0].reference}"
    return (TextTable(title, ("variant", *map(_key_text, keys)), tuple(rows)),)


def _key_text(key: tuple[str, int | None]) -> str:
    task, num_labels = key
    return f"{task}, {'all' if num_labels is None else num_labels}"


def _half_width(runs: Sequence[RunFigures], task: str, num_labels: int | None) -> str:
    """The mean half width of the 95 % intervals."""
    halves = [
        (score.auroc.high - score.auroc.low) / 2
        for run in runs
        for score in run.probe
        if (score.task, score.num_labels) == (task, num_labels)
        and score.auroc.high is not None
        and score.auroc.low is not None
    ]
    return f"\u00b1 {sum(halves) / len(halves):.3f}" if halves else NOT_APPLICABLE


def _cell(spread: Spread | None, digits: int) -> str:
    return NOT_APPLICABLE if spread is None else spread.text(digits)
