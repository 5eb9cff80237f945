"""From table rows to events: what is coded, what its number is, when it was known.

How a stay ended is an event at its end and nowhere else. Left out on purpose: every other
outcome, discharge and APACHE column, `activeupondischarge`, care plans, and what would tell one
hospital from another (its number, beds, teaching).
"""

import duckdb
import pyarrow as pa

from fedehr_client.importers.eicu.drugs import normalize_drug, split_infusion

VITALS = frozenset({"dbp", "fio2", "hr", "map", "o2sat", "resp", "sbp", "temp", "urine"})
"""Hourly columns charted at the bedside; the others are laboratory results."""
_MACROS = """
CREATE MACRO squeeze(x) AS nullif(trim(regexp_replace(x, '\\s+', ' ', 'g')), '');
CREATE MACRO path(x) AS
    nullif(array_to_string(list_filter(list_transform(string_split(replace(squeeze(x), '//', '/'),
    '|'), lambda level: trim(level)), lambda level: level <> ''), '|'), '');
"""

_CHARTED = {
    "diagnosis": """
        SELECT patientunitstayid AS stay_id, diagnosisoffset AS minutes,
            'DIAGNOSIS//' || path(diagnosisstring) AS code, NULL AS value FROM diagnosis""",
    "treatment": """
        SELECT patientunitstayid, treatmentoffset, 'TREATMENT//' || path(treatmentstring), NULL
        FROM treatment""",
    "admissionDx": """
        SELECT patientunitstayid, admitdxenteredoffset, 'ADMISSION_DX//'
            || path(regexp_replace(admitdxpath, '^admission diagnosis\\|', '')), NULL
        FROM admissionDx""",
    # The value is the path's last level, and may hold a slash of its own ("s/p AVR").
    "pastHistory": """
        SELECT patientunitstayid, pasthistoryenteredoffset, 'PAST_HISTORY//' || path(CASE
            WHEN suffix(pasthistorypath, '/' || pasthistoryvalue) THEN replace(regexp_replace(
                left(pasthistorypath, length(pasthistorypath) - length(pasthistoryvalue) - 1),
                '^notes/Progress Notes/Past History/', ''), '/', '|') || '|' || pasthistoryvalue
            ELSE replace(regexp_replace(pasthistorypath,
                '^notes/Progress Notes/Past History/', ''), '/', '|') END), NULL
        FROM pastHistory""",
    # An order is known when given, a drug when it starts: the later of both is safe.
    "medication": """
        SELECT patientunitstayid, greatest(drugorderoffset, drugstartoffset), 'MEDICATION//'
            || coalesce('HICL//' || nullif(drughiclseqno, 0), name), NULL
        FROM medication LEFT JOIN drugs USING (drugname)
        WHERE lower(coalesce(drugordercancelled, 'no')) <> 'yes'""",
    "infusiondrug": """
        SELECT patientunitstayid, infusionoffset,
            'INFUSION//' || name || coalesce('//' || unit, ''), TRY_CAST(drugrate AS DOUBLE)
        FROM infusiondrug JOIN infusions USING (drugname)""",
}
_APERIODIC = """
    SELECT patientunitstayid, observationoffset, 'VITAL//' || kind, value FROM (
        SELECT patientunitstayid, observationoffset, noninvasivesystolic AS sbp,
            noninvasivediastolic AS dbp, noninvasivemean AS map FROM vitalAperiodic
    ) UNPIVOT (value FOR kind IN (sbp, dbp, map))"""
_ADMISSIONS = """
    SELECT site, subject_id, unit_time AS time,
        'ICU_ADMISSION//' || coalesce(path(unittype), 'unknown') AS code, NULL AS value, visit_id
    FROM stays JOIN patient ON stay_id = patientunitstayid
    UNION ALL
    SELECT site, subject_id, unit_time,
        'ICU_ADMISSION_SOURCE//' || coalesce(path(unitadmitsource), 'unknown'), NULL, visit_id
    FROM stays JOIN patient ON stay_id = patientunitstayid
    UNION ALL
    SELECT site, subject_id, admission_time,
        'HOSPITAL_ADMISSION//' || coalesce(path(hospitaladmitsource), 'unknown'), NULL, visit_id
    FROM stays JOIN patient ON stay_id = patientunitstayid WHERE unit_order = 1"""
# Where the status at hospital discharge is unknown, so is whether the stay ended alive: there
# is no event, and tasks find no end. A unit's status alone says nothing against the hospital's.
_ENDS = """
    SELECT site, subject_id, unit_time + to_minutes(greatest(unitdischargeoffset, 0)) AS time,
        'ICU_DISCHARGE//' || coalesce(path(unittype), 'unknown'), NULL, visit_id, end_time
    FROM stays JOIN patient ON stay_id = patientunitstayid
    UNION ALL
    SELECT site, subject_id, unit_time + to_minutes(hospitaldischargeoffset),
        'HOSPITAL_DISCHARGE//' || if(hospitaldischargestatus = 'Alive', 'alive', 'died'), NULL,
        visit_id, end_time
    FROM stays JOIN patient ON stay_id = patientunitstayid
    WHERE unit_order = 1 AND hospitaldischargestatus IN ('Alive', 'Expired')
    UNION ALL
    SELECT site, subject_id, coalesce(
            max(unit_time + to_minutes(greatest(unitdischargeoffset, 0)))
                FILTER (unitdischargestatus = 'Expired'),
            arg_min(unit_time + to_minutes(hospitaldischargeoffset), unit_order)),
        'MEDS_DEATH', NULL, visit_id, end_time
    FROM stays JOIN patient ON stay_id = patientunitstayid
    WHERE hospitaldischargestatus = 'Expired' GROUP BY site, subject_id, visit_id, end_time"""
_PEOPLE = """
    people AS (
        SELECT subject_id, coalesce(max(CASE gender WHEN 'Female' THEN 'F' WHEN 'Male' THEN 'M'
                END), 'U') AS sex,
            arg_min(CASE WHEN age LIKE '>%' THEN 90 ELSE TRY_CAST(age AS INTEGER) END,
                stay_order) AS age,
            arg_min(admission_time, stay_order) AS first_time
        FROM stays JOIN patient ON stay_id = patientunitstayid GROUP BY subject_id
    ), present AS (SELECT DISTINCT site, subject_id FROM stays)"""
_STATIC = """
    SELECT site, subject_id, CAST(NULL AS TIMESTAMP), 'SEX//' || sex, NULL, NULL
    FROM present JOIN people USING (subject_id)
    UNION ALL
    SELECT site, subject_id, first_time - to_years(age), 'MEDS_BIRTH', NULL, NULL
    FROM present JOIN people USING (subject_id) WHERE age IS NOT NULL"""


def add_events(connection: duckdb.DuckDBPyConnection, measurements: list[str]) -> dict[str, int]:
    """Make table `events` (site, then the columns of `DATA_SCHEMA`) from `stays`.

    Args:
        connection: holds the source tables and `stays`.
        measurements: columns of table `hourly`; empty when there is none.

    Returns:
        Rows left out, by reason.
    """
    connection.execute(_MACROS)
    _add_drug_names(connection)
    measured = _hourly_query(measurements) if measurements else _APERIODIC
    connection.execute(
        "CREATE TABLE charted AS " + " UNION ALL ".join([*_CHARTED.values(), measured])
    )
    connection.execute(
        """CREATE TABLE timed AS SELECT site, subject_id, code, value, visit_id, end_time,
            greatest(unit_time + to_minutes(minutes), floor_time) AS time
        FROM charted JOIN stays USING (stay_id) WHERE code IS NOT NULL"""
    )
    connection.execute(
        f"""CREATE TABLE events AS WITH {_PEOPLE}, all_events AS (
            SELECT site, subject_id, time, code, value, visit_id FROM timed WHERE time <= end_time
            UNION ALL
            SELECT * EXCLUDE (end_time) FROM ({_ENDS}) WHERE time <= end_time
            UNION ALL {_ADMISSIONS} UNION ALL {_STATIC})
        SELECT DISTINCT site, subject_id, CAST(time AS TIMESTAMP) AS time, code,
            CAST(value AS FLOAT) AS numeric_value, visit_id FROM all_events"""
    )
    left_out = _count_left_out(connection)
    connection.execute("DROP TABLE charted")
    connection.execute("DROP TABLE timed")
    return left_out


def _hourly_query(measurements: list[str]) -> str:
    """An hour's figure is known when the hour is over: its row begins the hour."""
    columns = ", ".join(
        f'CAST("{name}" AS DOUBLE) AS "{"VITAL" if name in VITALS else "LAB"}//{name}"'
        for name in measurements
    )
    return f"""
    SELECT patientunitstayid, offset_minutes + 60, kind, value FROM (
        SELECT patientunitstayid, offset_minutes, {columns} FROM hourly
    ) UNPIVOT (value FOR kind IN (* EXCLUDE (patientunitstayid, offset_minutes)))
    WHERE isfinite(value)"""


def _add_drug_names(connection: duckdb.DuckDBPyConnection) -> None:
    drugs = _distinct_names(connection, "medication")
    columns = {
        "drugname": pa.array(drugs, pa.string()),
        "name": pa.array([normalize_drug(drug) for drug in drugs], pa.string()),
    }
    connection.register("names_input", pa.table(columns))
    connection.execute("CREATE TABLE drugs AS SELECT * FROM names_input")
    connection.unregister("names_input")
    infusions = _distinct_names(connection, "infusiondrug")
    parts = [split_infusion(infusion) for infusion in infusions]
    columns = {
        "drugname": pa.array(infusions, pa.string()),
        "name": pa.array([name for name, _ in parts], pa.string()),
        "unit": pa.array([unit for _, unit in parts], pa.string()),
    }
    connection.register("names_input", pa.table(columns))
    connection.execute("CREATE TABLE infusions AS SELECT * FROM names_input")
    connection.unregister("names_input")


def _distinct_names(connection: duckdb.DuckDBPyConnection, table: str) -> list[str]:
    rows = connection.execute(
        f"SELECT DISTINCT drugname FROM {table} WHERE drugname IS NOT NULL ORDER BY 1"
    ).fetchall()
    return [row[0] for row in rows]


def _count_left_out(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    queries = {
        "rows_without_code": "SELECT count(*) FROM charted WHERE code IS NULL",
        "rows_of_stays_left_out": """SELECT count(*) FROM charted
            WHERE code IS NOT NULL AND stay_id NOT IN (SELECT stay_id FROM stays)""",
        "rows_past_the_window": "SELECT count(*) FROM timed WHERE time > end_time",
        "orders_cancelled": """SELECT count(*) FROM medication
            WHERE lower(drugordercancelled) = 'yes'""",
        "infusions_without_name": """SELECT count(*) FROM infusiondrug
            WHERE drugname NOT IN (SELECT drugname FROM infusions WHERE name IS NOT NULL)""",
    }
    return {reason: connection.execute(query).fetchall()[0][0] for reason, query in queries.items()}
