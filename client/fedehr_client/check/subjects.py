"""Splits, and how many events a subject has."""

import duckdb
import pandas as pd

from fedehr_client.check.cell_rule import CellRule
from fedehr_client.check.report import Bars, Finding, Section, Verdict
from fedehr_client.check.subject_fault import subject_fault
from fedehr_shared.meds.schema import SPLITS, TRAIN

_EDGES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)
"""Lower ends of the bars; the last one is open."""


def check_subjects(connection: duckdb.DuckDBPyConnection, rule: CellRule) -> Section:
    """Is every subject in exactly one split, and are there enough to train on?"""
    sizes = _events_by_subject(connection)
    counts = dict(
        connection.execute(
            "SELECT split, count(DISTINCT subject_id) FROM splits GROUP BY split"
        ).fetchall()
    )
    findings = (
        _in_two_splits(connection, rule),
        _unknown_splits(counts),
        _without_split(connection, rule),
        _enough_to_train(connection, rule),
    )
    table = pd.DataFrame(
        {
            "split": list(SPLITS),
            "subjects": pd.array([rule.subjects(counts.get(s, 0)) for s in SPLITS], "Int64"),
        }
    )
    bars = Bars(
        "Events a subject",
        tuple(_label(place) for place in range(len(_EDGES))),
        tuple(rule.subjects(num) for num in sizes),
    )
    return Section("Subjects and splits", findings, {"Splits": table}, (bars,))


def _events_by_subject(connection: duckdb.DuckDBPyConnection) -> list[int]:
    """How many subjects have as many events as each bar stands for."""
    conditions = ", ".join(
        f"count(*) FILTER (WHERE num >= {low}" + (f" AND num < {high})" if high else ")")
        for low, high in zip(_EDGES, (*_EDGES[1:], None), strict=True)
    )
    row = connection.execute(
        f"SELECT {conditions} FROM (SELECT count(*) AS num FROM events GROUP BY subject_id)"
    ).fetchall()[0]
    return list(row)


def _label(place: int) -> str:
    low = _EDGES[place]
    if place + 1 == len(_EDGES):
        return f"{low:,}+"
    high = _EDGES[place + 1] - 1
    return f"{low:,}" if low == high else f"{low:,}-{high:,}"


def _in_two_splits(connection: duckdb.DuckDBPyConnection, rule: CellRule) -> Finding:
    num = _count(
        connection, "SELECT subject_id FROM splits GROUP BY 1 HAVING count(DISTINCT split) > 1"
    )
    return subject_fault(
        "one_split",
        num,
        rule,
        fine="no subject is in two splits.",
        wrong="are in more than one split, so that training would see what the test holds. "
        "Import the folder again with `fedehr-client import meds`.",
    )


def _unknown_splits(counts: dict[str, int]) -> Finding:
    unknown = set(counts) - set(SPLITS)
    if not unknown:
        return Finding("known_splits", Verdict.OK, "splits have MEDS's names.", {})
    return Finding(
        "known_splits",
        Verdict.FAILED,
        f"{len(unknown)} split(s) have names other than {', '.join(SPLITS)}. Import the folder "
        "again with `fedehr-client import meds`.",
        {"num_splits": len(unknown)},
    )


def _without_split(connection: duckdb.DuckDBPyConnection, rule: CellRule) -> Finding:
    num = _count(
        connection,
        "SELECT DISTINCT subject_id FROM events WHERE subject_id NOT IN "
        "(SELECT subject_id FROM splits)",
    )
    return subject_fault(
        "has_split",
        num,
        rule,
        fine="every subject with events has a split.",
        wrong="with events have no split. Import the folder again with "
        "`fedehr-client import meds`.",
    )


def _enough_to_train(connection: duckdb.DuckDBPyConnection, rule: CellRule) -> Finding:
    num = _count(
        connection,
        f"SELECT DISTINCT subject_id FROM splits WHERE split = '{TRAIN}' AND subject_id IN "
        "(SELECT subject_id FROM events)",
    )
    figures: dict[str, float | int | str | None] = {"num_subjects": rule.subjects(num)}
    if num >= rule.min_cell:
        text = f"{rule.words(num)} subjects to train on."
        return Finding("training_subjects", Verdict.OK, text, figures)
    return Finding(
        "training_subjects",
        Verdict.FAILED,
        f"the train split has fewer than min_cell = {rule.min_cell} subjects with events. "
        "Add subjects; the site cannot take part.",
        figures,
    )


def _count(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    return int(connection.execute(f"SELECT count(*) FROM ({query})").fetchall()[0][0])
