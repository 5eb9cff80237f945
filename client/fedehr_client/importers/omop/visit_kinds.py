"""Which visit concepts are hospital stays, intensive care, emergency or outpatient visits."""

import duckdb

EMERGENCY_ADMISSION = 262
"""Emergency Room and Inpatient Visit: one stay that began in the emergency room."""

KINDS = {
    # Intensive Care; Inpatient Critical, Intensive and Cardiac Care Facility; Intensive Care
    # Unit as the conversion of MIMIC writes it, and as SNOMED does.
    "intensive": (32037, 581379, 581382, 581383, 9204, 4148981),
    # Inpatient Visit, Hospital, Psychiatric and Rehabilitation Facility, Nursery.
    "hospital": (9201, EMERGENCY_ADMISSION, 8717, 8971, 8920, 581384),
    # Emergency Room Visit, Emergency Room - Hospital, its Critical Care Facility.
    "emergency": (9203, 8870, 581381),
    # Outpatient Visit and Hospital; Office, Telehealth, Home, Pharmacy, Laboratory Visit.
    "outpatient": (9202, 8756, 581477, 5083, 581476, 581458, 32036),
}
_UNSPECIFIC = (32037, 581379, 581382, 9204, 4148981, 9203, 8870, 9202)
"""They say no more than their kind does, and hospitals choose freely among them."""
_DEATHS = (4216643, 434489)
"""Patient died; Dead."""
_NAMES = {8536: "HOME", 8717: "INPATIENT HOSPITAL", 8863: "SKILLED NURSING FACILITY",
          8870: "EMERGENCY ROOM - HOSPITAL", 9203: "EMERGENCY ROOM VISIT"}  # fmt: skip
"""For sources without a table of concepts."""


def load_visit_kinds(connection: duckdb.DuckDBPyConnection) -> None:
    """Make `visit_kinds` (concept_id, kind, label) and `places` (concept_id, label).

    A descendant of a known concept is of its kind; of several the first of `KINDS`. A label
    is the concept's name in capitals, `unknown` where it adds nothing to the kind.
    """
    known = ", ".join(
        f"({concept}, {rank}, '{kind}')"
        for rank, (kind, concepts) in enumerate(KINDS.items())
        for concept in concepts
    )
    names = ", ".join(f"({concept}, '{name}')" for concept, name in _NAMES.items())
    connection.execute(f"""
        CREATE TABLE places AS
        SELECT concept_id, CASE WHEN concept_id IN {_DEATHS} THEN 'DIED'
            ELSE coalesce(upper(trim(c.name)), n.name, CAST(concept_id AS VARCHAR)) END AS label
        FROM used LEFT JOIN concepts c USING (concept_id)
        LEFT JOIN (VALUES {names}) n(concept_id, name) USING (concept_id)""")
    connection.execute(f"""
        CREATE TABLE visit_kinds AS
        WITH known(concept_id, rank, kind) AS (VALUES {known}),
        ranked AS (
            SELECT concept_id, rank - 10 AS rank, kind FROM known
            UNION ALL
            SELECT l.descendant, rank, kind FROM known JOIN lineage l ON l.ancestor = concept_id)
        SELECT concept_id, arg_min(kind, rank) AS kind,
            if(concept_id IN {_UNSPECIFIC}, 'unknown', coalesce(any_value(label), 'unknown'))
                AS label
        FROM ranked LEFT JOIN places USING (concept_id) GROUP BY concept_id""")
