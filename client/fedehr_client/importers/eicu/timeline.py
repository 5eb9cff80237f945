"""Fictional dates: eICU knows minutes from unit admission, and no calendar.

Hospital stays of one person get slots of equal length, so that no date depends on how a
stay went: the n-th begins n slots after one base date for all, and what would reach more
than `WINDOW_DAYS` into its slot is left out. Two stays are thus at least 400 days apart.
"""

import hashlib

import duckdb
import pyarrow as pa

from fedehr_shared.errors import DataError

BASE_TIME = "2100-01-01 00:00:00"
WINDOW_DAYS = 400
SLOT_DAYS = 840
"""Two windows and the month by which a unit admission may precede its hospital admission."""
LONGEST_LEAD_DAYS = 30


def subject_id_of(unique_pid: str) -> int:
    """The person's 63-bit number: BLAKE2b, so the same in every import and site."""
    digest = hashlib.blake2b(unique_pid.encode(), digest_size=8, person=b"fedehr-eicu").digest()
    return int.from_bytes(digest, "big") >> 1


def add_timeline(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Make table `stays`: one row a unit stay whose place on the timeline is known.

    Columns: stay_id, subject_id, visit_id, site, unit_time and admission_time (unit and
    hospital admission), floor_time (no event of the stay may be earlier), end_time (none
    may be later), stay_order (1-based within the subject), unit_order (within the visit).

    Returns:
        Unit stays left out, by reason.

    Raises:
        DataError: two people share a subject number.
    """
    _add_subjects(connection)
    connection.execute(_VISITS)
    connection.execute(_PLACED)
    connection.execute(_STAYS)
    counts = connection.execute(
        f"""SELECT count(*) FILTER (WHERE same_year_rank > 1),
            count(*) FILTER (WHERE same_year_rank = 1 AND NOT {_PLAUSIBLE}) FROM placed"""
    ).fetchall()[0]
    return {"stays_order_unknown": counts[0], "stays_implausible_admission": counts[1]}


def _add_subjects(connection: duckdb.DuckDBPyConnection) -> None:
    rows = connection.execute("SELECT DISTINCT uniquepid FROM patient ORDER BY 1").fetchall()
    names = [row[0] for row in rows]
    ids = [subject_id_of(name) for name in names]
    if len(set(ids)) < len(ids):
        raise DataError(
            "two people of table 'patient' got the same subject number. "
            "This is a fault of the importer; report it."
        )
    subjects = pa.table({"uniquepid": names, "subject_id": pa.array(ids, pa.int64())})
    connection.register("subjects_input", subjects)
    connection.execute("CREATE TABLE subjects AS SELECT * FROM subjects_input")
    connection.unregister("subjects_input")


# Stays of one year have no known order: a hash of the stay's number keeps one of them.
_VISITS = """
CREATE TABLE visits AS
WITH years AS (
    SELECT subject_id, patienthealthsystemstayid AS visit_id, min(hospitaldischargeyear) AS year
    FROM patient JOIN subjects USING (uniquepid) GROUP BY ALL
), ranked AS (
    SELECT *, row_number() OVER (
        PARTITION BY subject_id, year ORDER BY md5('eicu-visit-' || visit_id), visit_id
    ) AS same_year_rank FROM years
)
SELECT *, row_number() OVER (PARTITION BY subject_id, same_year_rank = 1 ORDER BY year) - 1
    AS slot FROM ranked"""

_PLACED = f"""
CREATE TABLE placed AS
WITH admitted AS (
    SELECT *, TIMESTAMP '{BASE_TIME}' + to_days(CAST({SLOT_DAYS} * slot AS INTEGER))
        AS admission_time FROM visits
)
SELECT patientunitstayid AS stay_id, subject_id, visit_id, site, same_year_rank,
    admission_time, unitvisitnumber,
    admission_time - to_minutes(hospitaladmitoffset) AS unit_time
FROM patient JOIN sites USING (hospitalid) JOIN subjects USING (uniquepid)
JOIN admitted USING (subject_id) WHERE visit_id = patienthealthsystemstayid"""

_PLAUSIBLE = f"""unit_time BETWEEN admission_time - INTERVAL {LONGEST_LEAD_DAYS} DAY
    AND admission_time + INTERVAL {WINDOW_DAYS - 2} DAY"""

# Rows of a later unit stay exist only because the patient lived to have it, so they may not
# be placed before it, even where their own time is earlier.
_STAYS = f"""
CREATE TABLE stays AS
WITH ordered AS (
    SELECT *, row_number() OVER (
        PARTITION BY subject_id ORDER BY unit_time, unitvisitnumber, stay_id
    ) AS stay_order, row_number() OVER (
        PARTITION BY visit_id ORDER BY unit_time, unitvisitnumber, stay_id
    ) AS unit_order
    FROM placed WHERE same_year_rank = 1 AND {_PLAUSIBLE}
)
SELECT stay_id, subject_id, visit_id, site, unit_time, admission_time, stay_order, unit_order,
    CASE WHEN unit_order = 1 THEN least(admission_time, unit_time) ELSE unit_time END
        AS floor_time,
    admission_time + INTERVAL {WINDOW_DAYS} DAY AS end_time
FROM ordered"""
