"""A probe's record as tables and sentences for a terminal."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from rich import box
from rich.table import Table
from rich.text import Text

from fedehr_shared import console
from fedehr_simulations.probe.record import CandidateResult, ProbeRecord
from fedehr_simulations.probe.words import labels_in_words, points
from fedehr_simulations.verdict.result import Interval


def print_record(record: ProbeRecord) -> None:
    """The choice, the chosen one's held-out figures, and what they mean."""
    if record.left_out:
        names = ", ".join(record.left_out)
        _say(f"left out, as they ask no question of yes or no: {names}")
    _print_choice(record)
    _print_worth(record)
    _print_neighborhoods(record)
    _print_sites(record)


def _print_choice(record: ProbeRecord) -> None:
    rows = [
        [
            _name(candidate, record) + (" *" if place == record.chosen else ""),
            *(_figure(candidate.tuning[task]) for task in record.tasks),
            _figure(candidate.tuning_mean),
            "-" if candidate.masked_loss is None else f"{candidate.masked_loss:.3f}",
        ]
        for place, candidate in enumerate(record.candidates)
    ]
    header = ["encoding", *record.tasks, "mean", "masked loss"]
    _table(
        "AUROC on the tuning split, all labels (masked loss, in nats, is not used)", header, rows
    )
    chosen = _name(record.chosen_candidate, record)
    if record.reason is not None:
        _say(f"Nothing to choose by: {record.reason}. Shown: {chosen}, the first.")
    elif len(record.candidates) > 1:
        tied = [_name(other, record) for other in record.candidates if other.is_tied]
        told = f" Not told apart from it: {', '.join(tied)}." if tied else ""
        _say(f"Chosen on the tuning split (*): {chosen}.{told}")


def _print_worth(record: ProbeRecord) -> None:
    rows = [
        [
            one.task,
            labels_in_words(one.num_labels),
            _figure(one.trained),
            _value(one.untrained),
            _value(one.bag),
        ]
        for one in record.worth
    ]
    header = ["outcome", "seen", "this encoding", "untrained", "bag of codes"]
    _table(f"AUROC on held-out subjects of {len(record.sites)} site(s)", header, rows)
    for sentence in record.in_words:
        _say(sentence)


def _print_neighborhoods(record: ProbeRecord) -> None:
    rows = [
        [
            near.task,
            _percent(near.positive_share),
            _share(near.agreement),
            _difference(near.beyond_chance),
            _difference(near.untrained_beyond_chance),
            f"{_percent(near.of_positives)} / {_percent(near.of_negatives)}",
        ]
        for near in record.neighborhoods
    ]
    header = ["outcome", "positives", "agreement", "beyond chance", "untrained",
              "positives near yes / no"]  # fmt: skip
    title = f"{record.num_neighbors} nearest neighbors of held-out subjects: do they share it?"
    _table(title, header, rows)
    _notes(near.agreement for near in record.neighborhoods)


def _print_sites(record: ProbeRecord) -> None:
    told = record.sites_told
    if told.auroc.value is None or told.chance is None:
        _say(f"Sites told apart: withheld ({told.auroc.reason}).")
        return
    _say(
        f"Sites told apart by logistic regression: AUROC {_figure(told.auroc)}, 0.5 by chance "
        f"(untrained {_figure(told.untrained_auroc)}); named rightly {_share(told.accuracy)}, "
        f"{_percent(told.chance)} by always naming the largest."
    )


def _name(candidate: CandidateResult, record: ProbeRecord) -> str:
    """As short as the candidates allow."""
    runs = {other.run for other in record.candidates}
    stems = {Path(run).name for run in runs}
    run = Path(candidate.run).name if len(stems) == len(runs) else candidate.run
    return f"{run} {candidate.checkpoint} {candidate.pooling}"


def _notes(figures: Iterable[Interval]) -> None:
    for reason in dict.fromkeys(figure.reason for figure in figures if figure.reason):
        _say(f"-: {reason}")


def _figure(interval: Interval) -> str:
    if interval.value is None or interval.low is None or interval.high is None:
        return "-"
    return f"{interval.value:.3f} ({interval.low:.2f} to {interval.high:.2f})"


def _value(interval: Interval) -> str:
    return "-" if interval.value is None else f"{interval.value:.3f}"


def _difference(interval: Interval) -> str:
    if interval.value is None or interval.low is None or interval.high is None:
        return "-"
    value, low, high = (points(n) + 0.0 for n in (interval.value, interval.low, interval.high))
    return f"{value:+.1f} ({low:+.1f} to {high:+.1f})"


def _share(interval: Interval) -> str:
    if interval.value is None or interval.low is None or interval.high is None:
        return "-"
    low, high = 100 * interval.low, 100 * interval.high
    return f"{100 * interval.value:.1f} % ({low:.1f} to {high:.1f})"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def _table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD)
    for place, name in enumerate(header):
        table.add_column(Text(name), overflow="fold", no_wrap=place == 0 and len(rows) > 1)
    for row in rows:
        table.add_row(*map(Text, row))
    console.out.print(table)


def _say(text: str) -> None:
    console.out.print(text, markup=False, soft_wrap=True)
