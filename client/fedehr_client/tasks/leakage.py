"""The leakage test: a label must not be readable in the input it is predicted from.

1. No event that settles the label (outcome, competing event, end of the stay) may be known
   after the index event and by the prediction, and no death at all by then; nor may a death or a
   discharge have no time, as an event without one is in every input.
2. No simple rule may rank the labels nearly perfectly: the presence of any one code, the
   number of events, or the hours since the last one, among what is known from the beginning of
   the visit to the prediction, or has no time. That finds what the definition does not name:
   codes stamped at admission and known at discharge, or positives whose stay was over.
3. Delayed (billing) codes are counted that had happened and are held back, and billing codes
   that have no delay.
"""

from dataclasses import dataclass, replace

import duckdb
import numpy as np
import pyarrow as pa

from fedehr_client.tasks.binary_views import BinaryView, binary_views
from fedehr_client.tasks.definition import TaskDefinition
from fedehr_client.tasks.index_events import microseconds, outcome_stay
from fedehr_client.tasks.leakage_report import LIMIT, LeakageReport, Rule, lower_bound
from fedehr_client.tasks.roles import BEGINS, DEATH, ENDS
from fedehr_client.tasks.site_query import QueryLimits, add_table, open_site
from fedehr_shared.config.code_pattern import matching
from fedehr_shared.meds.code_table import CodeTable
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.metrics.binary import auroc

_BILLING_NAMES = "icd-?(9|10|11)?(cm|pcs|proc)?|drg|cpt-?4?|hcpcs|opcs-?4?"
BILLING = rf"(?i)(.*[^a-z0-9])?({_BILLING_NAMES})([^a-z0-9].*)?"
"""Codes of vocabularies that bills are written in."""
LEAST_SUBJECTS = 11
"""A code of fewer labelled subjects is no rule, and is not named."""
NUM_TOLD = 5
"""Rules in a report that leaks nothing."""


@dataclass(frozen=True)
class LeakRoles:
    """What the test looks for.

    Attributes:
        index: pattern of the event from which on nothing may settle the label.
        gap_us: microseconds from the index to the prediction; None: the latest index event.
        settling: by kind, patterns of events that settle the label.
        ends_at_prediction: the stay ends at the prediction itself, as it may.
    """

    index: str
    gap_us: int | None
    settling: dict[str, str]
    ends_at_prediction: bool

    @classmethod
    def of_task(cls, task: TaskDefinition) -> "LeakRoles":
        """From a definition."""
        stays = {"hospital_stay", task.index.within, outcome_stay(task)}
        ends = [ENDS[stay] for stay in sorted(stays)]
        at_end = task.index.at == "end_of_visit"
        return cls(
            index=task.index.codes,
            gap_us=None if at_end else microseconds(task.index.gap_hours),
            settling={
                "outcome": task.outcome.codes or "",
                "competing": task.competing.codes if task.competing else "",
                "death": DEATH,
                "end_of_stay": "|".join(ends),
            },
            ends_at_prediction=at_end,
        )

    @classmethod
    def of_imported(cls) -> "LeakRoles":
        """For labels of a file: the index is the latest admission, the rest the records tell."""
        return cls(
            index="|".join(BEGINS.values()),
            gap_us=None,
            settling={"death": DEATH, "end_of_stay": ENDS["hospital_stay"]},
            ends_at_prediction=True,
        )


def check_leakage(
    site: SiteFolder, task: str, labels: pa.Table, roles: LeakRoles, limits: QueryLimits
) -> LeakageReport:
    """Test labels of a site against its own records.

    Labels that are no yes or no are seen as several that are (`binary_views`); the report is of
    the one that is read most easily.

    Args:
        site: whose records.
        task: its name, for the report.
        labels: columns of MEDS' LabelSchema.
        roles: what settles the label.
        limits: of the query.

    Raises:
        DataError: a file is damaged.
    """
    with open_site(site, limits) as (connection, codes):
        add_table(connection, "given", labels.select(["subject_id"]))
        _add_roles(connection, codes, roles)
        reports = [
            _check_view(connection, codes, task, view, roles) for view in binary_views(labels)
        ]
    return max(reports, key=lambda report: (report.is_leaking, report.best_low))


def _check_view(
    connection: duckdb.DuckDBPyConnection,
    codes: CodeTable,
    task: str,
    view: BinaryView,
    roles: LeakRoles,
) -> LeakageReport:
    add_table(connection, "given", view.labels)
    _add_labelled(connection, roles.gap_us)
    is_positive = np.asarray(view.labels.column("boolean_value").to_pylist(), dtype=bool)
    rules = [*_code_rules(connection), *_event_rules(connection)]
    return LeakageReport(
        task=task,
        num_positive=int(is_positive.sum()),
        num_negative=int((~is_positive).sum()),
        visible=_count_visible(connection, roles),
        rules=_best([replace(rule, name=rule.name + view.suffix) for rule in rules]),
        num_events_held_back=_count(
            connection, "time <= prediction_time AND known > prediction_time"
        ),
        num_undelayed_billing_codes=int(
            (matching(codes.codes, BILLING) & (codes.delay_hours == 0)).sum()
        ),
    )


def _add_roles(connection: duckdb.DuckDBPyConnection, codes: CodeTable, roles: LeakRoles) -> None:
    patterns = {
        "is_index": roles.index,
        "begins_visit": BEGINS["hospital_stay"],
        "ends_visit": ENDS["hospital_stay"],
        **roles.settling,
    }
    masks = {role: matching(codes.codes, pattern) for role, pattern in patterns.items()}
    some = np.logical_or.reduce(list(masks.values()))
    columns = {"code": pa.array(np.asarray(codes.codes, dtype=object)[some], pa.string())}
    columns |= {role: pa.array(mask[some]) for role, mask in masks.items()}
    add_table(connection, "roles", pa.table(columns))
    connection.execute(
        """CREATE OR REPLACE TEMP TABLE marked AS
        SELECT subject_id, time, known, roles.* EXCLUDE (code) FROM (
            SELECT subject_id, time, known, code FROM events
            UNION ALL SELECT subject_id, NULL, NULL, code FROM statics
        ) JOIN roles USING (code) WHERE subject_id IN (SELECT subject_id FROM given)"""
    )


def _add_labelled(connection: duckdb.DuckDBPyConnection, gap_us: int | None) -> None:
    """Table `labelled`: subject_id, prediction_time, label, index_time, begins (the visit, or
    the index event where it is in none)."""
    index = "max(time) FILTER (is_index AND time <= prediction_time)"
    if gap_us is not None:
        index = f"prediction_time - to_microseconds({gap_us})"
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE labelled AS
        WITH indexed AS (
            SELECT g.subject_id, prediction_time, boolean_value AS label,
                coalesce({index}, prediction_time) AS index_time
            FROM given g LEFT JOIN marked USING (subject_id)
            WHERE boolean_value IS NOT NULL
            GROUP BY g.subject_id, prediction_time, boolean_value
        ), around AS (
            SELECT i.*, max(time) FILTER (begins_visit AND time <= index_time) AS begun,
                max(time) FILTER (ends_visit AND time < index_time) AS ended
            FROM indexed i LEFT JOIN marked USING (subject_id) GROUP BY ALL
        )
        SELECT * EXCLUDE (begun, ended),
            CASE WHEN ended > begun THEN index_time ELSE coalesce(begun, index_time) END AS begins
        FROM around"""
    )


def _count_visible(connection: duckdb.DuckDBPyConnection, roles: LeakRoles) -> dict[str, int]:
    before = dict.fromkeys(roles.settling, "<=")
    if roles.ends_at_prediction:
        before["end_of_stay"] = "<"
    after = dict.fromkeys(roles.settling, "known > index_time") | {"death": "TRUE"}
    # A diagnosis without a time may be an old one; an end of life or stay is none.
    timeless = {kind: kind in ("death", "end_of_stay") for kind in roles.settling}
    conditions = {
        kind: f"{kind} AND coalesce("
        f"known {before[kind]} prediction_time AND {after[kind]}, {timeless[kind]})"
        for kind in roles.settling
    }
    columns = ", ".join(
        f"count(DISTINCT subject_id) FILTER ({condition})" for condition in conditions.values()
    )
    row = connection.execute(
        f"SELECT {columns} FROM marked JOIN labelled USING (subject_id)"
    ).fetchall()[0]
    return dict(zip(conditions, row, strict=True))


def _code_rules(connection: duckdb.DuckDBPyConnection) -> list[Rule]:
    """The presence of each code. As a rule of two values its AUROC is half of one plus the
    difference of the two shares."""
    positive, negative = connection.execute(
        "SELECT count(*) FILTER (label), count(*) FILTER (NOT label) FROM labelled"
    ).fetchall()[0]
    if not (positive and negative):
        return []
    rows = connection.execute(
        """SELECT code, count(*) FILTER (label), count(*) FILTER (NOT label) FROM (
            SELECT code, subject_id, label FROM events JOIN labelled USING (subject_id)
            WHERE known >= begins AND known <= prediction_time
            UNION SELECT code, subject_id, label FROM statics JOIN labelled USING (subject_id))
        GROUP BY code HAVING count(*) >= ? ORDER BY code""",
        [LEAST_SUBJECTS],
    ).fetchall()
    rules = []
    for code, with_positive, with_negative in rows:
        area = 0.5 + abs(with_positive / positive - with_negative / negative) / 2
        rules.append(Rule(f"{code} present", area, lower_bound(area, positive, negative)))
    return rules


def _event_rules(connection: duckdb.DuckDBPyConnection) -> list[Rule]:
    """The number of events, and the hours from the last one to the prediction."""
    columns = connection.execute(
        """SELECT label, count(known) AS number,
            coalesce(epoch_us(prediction_time) - epoch_us(max(known)), 9e18) AS idle
        FROM labelled l LEFT JOIN events e ON e.subject_id = l.subject_id
            AND known >= begins AND known <= prediction_time
        GROUP BY l.subject_id, prediction_time, label"""
    ).fetchnumpy()
    labels = np.asarray(columns["label"], dtype=np.float64)
    positive, negative = int(labels.sum()), int((1 - labels).sum())
    if not (positive and negative):
        return []
    rules = []
    for name, key in (("number of events", "number"), ("hours since the last event", "idle")):
        scores = np.asarray(columns[key], dtype=np.float64)
        area = float(auroc(labels, scores, np.ones((1, labels.size)))[0])
        area = max(area, 1 - area)
        rules.append(Rule(name, area, lower_bound(area, positive, negative)))
    return rules


def _best(rules: list[Rule]) -> tuple[Rule, ...]:
    ordered = sorted(rules, key=lambda rule: (-rule.low, rule.name))
    num_above = sum(rule.low > LIMIT for rule in ordered)
    return tuple(ordered[: max(NUM_TOLD, num_above)])


def _count(connection: duckdb.DuckDBPyConnection, condition: str) -> int:
    found: int = connection.execute(
        f"SELECT count(*) FROM events JOIN labelled USING (subject_id) WHERE {condition}"
    ).fetchall()[0][0]
    return found
