"""The tables of several measurements together, for a terminal and for a page."""

from pathlib import Path

from fedehr_simulations.efficiency.over_hospitals import HospitalsRecord, MeanGain, MeanPoint
from fedehr_simulations.efficiency.record import Place
from fedehr_simulations.efficiency.tables import cells_of, interval_text, name_of
from fedehr_simulations.report.marked_page import Marks, write_between
from fedehr_simulations.report.text_table import TextTable

MARKS = Marks("<!-- begin: efficiency-mean -->", "<!-- end: efficiency-mean -->")
_PLACES: dict[Place, str] = {
    "federation": "held-out subjects of the federation",
    "unseen": "the hospital that took no part",
}


def hospitals_tables(record: HospitalsRecord) -> list[TextTable]:
    """Scores, then what pre-training gained, place after place."""
    tables = []
    for place, words in _PLACES.items():
        points = [point for point in record.points if point.place == place]
        gains = [gain for gain in record.gains if gain.place == place]
        tables += [_scores(words, points)] if points else []
        tables += [_gained(words, gains, record.num_hospitals)] if gains else []
    return [*tables, _own(record)] if record.own_labels else tables


def write_hospitals_page(record: HospitalsRecord, path: Path) -> None:
    """Put the tables between the marks of a page; a new page holds nothing else.

    Raises:
        DataError: the page has no such marks, or cannot be read or written.
    """
    commits = ", ".join(f"`{commit}`" for commit in record.commits)
    about = (
        f"Written by `fedehr-sim efficiency-mean`. Study `{record.study}` (digest "
        f"`{record.study_digest[:16]}`), {record.num_hospitals} draws of hospitals, commit "
        f"{commits}. Means over the draws, with Student's 95 % intervals over them."
    )
    tables = (table.markdown for table in hospitals_tables(record))
    write_between(path, MARKS, "\n\n".join([about, *tables]) + "\n")


def _scores(words: str, points: list[MeanPoint]) -> TextTable:
    arms = list(dict.fromkeys(point.arm for point in points))
    rows = []
    for task, num in cells_of(points):
        by_arm = {p.arm: p for p in points if (p.task, p.num_labels) == (task, num)}
        told = [interval_text(by_arm[arm].auroc, 3) for arm in arms]
        rows.append((f"{task}, {name_of(num)}", *told))
    return TextTable(f"AUROC, {words}", ("task, labels", *arms), tuple(rows))


def _gained(words: str, gains: list[MeanGain], num_hospitals: int) -> TextTable:
    references = list(dict.fromkeys(gain.reference for gain in gains))
    rows = []
    for task, num in cells_of(gains):
        own = {g.reference: g for g in gains if (g.task, g.num_labels) == (task, num)}
        told = [_gain_text(own[reference], num_hospitals) for reference in references]
        rows.append((f"{task}, {name_of(num)}", *told))
    title = f"pretrained minus another, points of AUROC, and where it is ahead: {words}"
    return TextTable(title, ("task, labels", *references), tuple(rows))


def _own(record: HospitalsRecord) -> TextTable:
    rows = tuple(
        (
            f"{gain.task}, {name_of(gain.num_labels)}",
            interval_text(gain.auroc_points, 1, "+"),
            ", ".join(f"{points:+.1f}" for points in gain.by_hospitals),
        )
        for gain in record.own_labels
    )
    title = "all sites' labels minus each site's own, points of AUROC, mean over the sites"
    return TextTable(title, ("task, labels", "mean", "by draw"), rows)


def _gain_text(gain: MeanGain, num_hospitals: int) -> str:
    points = interval_text(gain.auroc_points, 1, "+")
    percent = ""
    if gain.reference == "scratch" and gain.auroc_percent.value is not None:
        percent = f" ({gain.auroc_percent.value:+.1f} %)"
    return f"{points}{percent}, {gain.num_ahead} of {num_hospitals}"
