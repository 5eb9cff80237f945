"""The tables of an efficiency record, for a terminal and for a page."""

from collections.abc import Iterable
from typing import Protocol

from fedehr_simulations.efficiency.record import EfficiencyRecord, Gain, Place
from fedehr_simulations.report.text_table import TextTable
from fedehr_simulations.verdict.result import Interval

ALL_LABELS = "all"
_METRICS = ("auroc", "auprc")


class Told(Protocol):
    """What is told of a task and a number of labels."""

    @property
    def task(self) -> str:
        """The task's name."""

    @property
    def num_labels(self) -> int | None:
        """Of the federation; None: all."""


def efficiency_tables(record: EfficiencyRecord) -> list[TextTable]:
    """Scores by task and number of labels, then what pre-training gained, place after place."""
    tables = []
    for place in record.num_scored:
        tables += [_scores(record, place, metric) for metric in _METRICS]
        gains = [gain for gain in record.gains if gain.place == place]
        tables += [_gains(record, place, gains)] if gains else []
    return [*tables, _own(record)] if record.own_labels else tables


def name_of(num_labels: int | None) -> str:
    """A number of labels as a text."""
    return ALL_LABELS if num_labels is None else str(num_labels)


def place_name(record: EfficiencyRecord, place: Place) -> str:
    """Where is scored, in a few words."""
    if place == "unseen":
        return f"{record.held_out_site}, which took no part"
    return "held-out subjects of the federation"


def interval_text(told: Interval, digits: int, sign: str = "") -> str:
    """`0.712 [0.681, 0.740]`."""
    if told.value is None or told.low is None or told.high is None:
        return "withheld"
    value, low, high = (f"{x:{sign}.{digits}f}" for x in (told.value, told.low, told.high))
    return f"{value} [{low}, {high}]"


def _scores(record: EfficiencyRecord, place: Place, metric: str) -> TextTable:
    points = [point for point in record.points if point.place == place]
    arms = list(dict.fromkeys(point.arm for point in points))
    rows = []
    for task, num in cells_of(points):
        by_arm = {p.arm: p for p in points if (p.task, p.num_labels) == (task, num)}
        told = [interval_text(getattr(by_arm[arm], metric), 3) for arm in arms]
        rows.append((f"{task}, {name_of(num)}", *told))
    title = f"{metric.upper()}, {place_name(record, place)} ({record.num_scored[place]} examples)"
    return TextTable(title, ("task, labels", *arms), tuple(rows))


def _gains(record: EfficiencyRecord, place: Place, gains: list[Gain]) -> TextTable:
    references = list(dict.fromkeys(gain.reference for gain in gains))
    rows = []
    for task, num in cells_of(gains):
        own = {g.reference: g for g in gains if (g.task, g.num_labels) == (task, num)}
        told = [_gain_text(own[reference]) for reference in references]
        rows.append((f"{task}, {name_of(num)}", *told))
    title = f"pretrained minus another, points of AUROC: {place_name(record, place)}"
    return TextTable(title, ("task, labels", *references), tuple(rows))


def _own(record: EfficiencyRecord) -> TextTable:
    rows = tuple(
        (
            f"{gain.task}, {name_of(gain.num_labels)}, {gain.site or 'mean of sites'}",
            interval_text(gain.federated, 3),
            interval_text(gain.own, 3),
            interval_text(gain.auroc_points, 1, "+"),
        )
        for gain in record.own_labels
    )
    title = "all sites' labels against each site's own, AUROC on its held-out subjects"
    header = ("task, labels, site", "federated", "own labels", "points")
    return TextTable(title, header, rows)


def _gain_text(gain: Gain) -> str:
    points = interval_text(gain.auroc_points, 1, "+")
    if gain.reference == "scratch" and gain.auroc_percent.value is not None:
        return f"{points} ({gain.auroc_percent.value:+.1f} %)"
    return points


def cells_of(told: Iterable[Told]) -> list[tuple[str, int | None]]:
    """Tasks and numbers of labels, each pair once: the rows of a table."""
    return list(dict.fromkeys((one.task, one.num_labels) for one in told))
