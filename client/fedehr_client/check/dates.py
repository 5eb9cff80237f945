"""Events at times when they cannot have been: before birth, long after death, after the
data were taken."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime

import duckdb

from fedehr_client.check.cell_rule import CellRule
from fedehr_client.check.report import Finding, Section, Verdict
from fedehr_client.check.subject_fault import subject_fault
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.meds.schema import BIRTH_CODE

DEATH_CODE = "MEDS_DEATH"
DAYS_AFTER_DEATH = 30
"""Late results and bills are common for some weeks."""
MOST_FAULTY_SHARE = 0.01
"""A larger share of such events means that the dates as a whole cannot be trusted."""
MOST_FUTURE_SHARE = 0.5
_LIFE = f"""
    SELECT subject_id,
        min(time) FILTER (WHERE code = '{BIRTH_CODE}' OR starts_with(code, '{BIRTH_CODE}//'))
            AS birth,
        min(time) FILTER (WHERE code = '{DEATH_CODE}' OR starts_with(code, '{DEATH_CODE}//'))
            AS death
    FROM events GROUP BY subject_id"""


@dataclass(frozen=True)
class Faults:
    """Timed events with one kind of impossible date, their subjects, and all timed events."""

    num: int
    num_subjects: int
    num_events: int

    @property
    def share(self) -> float:
        """Of all timed events."""
        return self.num / self.num_events if self.num_events else 0.0


def check_dates(connection: duckdb.DuckDBPyConnection, site: SiteFolder, rule: CellRule) -> Section:
    """Count events with impossible dates, and subjects without a birth."""
    taken = _taken_time(site)
    row = connection.execute(
        f"""WITH life AS ({_LIFE}), dated AS (
            SELECT subject_id, time < birth AS early,
                time > death + INTERVAL {DAYS_AFTER_DEATH} DAY AS late, time > $taken AS future
            FROM events JOIN life USING (subject_id) WHERE time IS NOT NULL)
        SELECT count(*),
            count(*) FILTER (WHERE early), count(DISTINCT subject_id) FILTER (WHERE early),
            count(*) FILTER (WHERE late), count(DISTINCT subject_id) FILTER (WHERE late),
            count(*) FILTER (WHERE future), count(DISTINCT subject_id) FILTER (WHERE future)
        FROM dated""",
        {"taken": taken},
    ).fetchall()[0]
    num = row[0]
    early, late, future = (Faults(row[i], row[i + 1], num) for i in (1, 3, 5))
    return Section(
        "Dates",
        (
            _timed(num),
            _faulty("before_birth", "before the subject's birth", early, rule),
            _faulty("after_death", f"over {DAYS_AFTER_DEATH} days after death", late, rule),
            _future(future, rule),
            _births(connection, rule),
        ),
    )


def _timed(num: int) -> Finding:
    if num:
        return Finding("timed_events", Verdict.OK, "there are events with a time.", {})
    return Finding(
        "timed_events", Verdict.FAILED, "no event has a time. Check the time columns and re-import."
    )


def _faulty(name: str, what: str, faults: Faults, rule: CellRule) -> Finding:
    figures: dict[str, float | int | str | None] = {
        "share_of_events": rule.figure(faults.share, faults.num_subjects),
        "num_subjects": rule.subjects(faults.num_subjects),
    }
    if faults.num == 0:
        return Finding(name, Verdict.OK, f"no events {what}.", figures)
    who = f"{rule.words(faults.num_subjects)} subjects have events {what}"
    if faults.share > MOST_FAULTY_SHARE:
        text = f"{who}, over {MOST_FAULTY_SHARE:.0%} of all events. Mend the dates and re-import."
        return Finding(name, Verdict.FAILED, text, figures)
    return Finding(name, Verdict.WARNING, f"{who}. Look at the import's date columns.", figures)


def _future(faults: Faults, rule: CellRule) -> Finding:
    """De-identified records are often moved by decades, all of them; that is no fault."""
    if faults.share > MOST_FUTURE_SHARE:
        text = "most dates lie after the import: they are shifted, and not judged."
        return Finding("after_extraction", Verdict.OK, text, {"shifted": 1})
    return _faulty("after_extraction", "after the data were taken", faults, rule)


def _births(connection: duckdb.DuckDBPyConnection, rule: CellRule) -> Finding:
    num, born = connection.execute(f"SELECT count(*), count(birth) FROM ({_LIFE})").fetchall()[0]
    return subject_fault(
        "births",
        num - born,
        rule,
        fine="every subject has a birth.",
        wrong=f"have no {BIRTH_CODE}: their ages are unknown to the model. Import the birth dates "
        "if there are any.",
        fatal=False,
    )


def _taken_time(site: SiteFolder) -> datetime:
    """When the dataset was made: its own word, or the time of its file."""
    try:
        about = json.loads(site.dataset_file.read_text(encoding="utf-8"))
        made = datetime.fromisoformat(about["created_at"])
    except (OSError, ValueError, KeyError, TypeError):
        made = datetime.fromtimestamp(site.splits_file.stat().st_mtime, UTC)
    return made.astimezone(UTC).replace(tzinfo=None) if made.tzinfo else made
