"""Who is in which split, as the source says: by file, or by the folders of its shards.

Names of other habits (`test`, `validation`) are understood. A subject that is listed in two
splits goes to the one farthest from training: held_out, then tuning, then train.
"""

from fedehr_client.importers.engine.typed_column import quote
from fedehr_client.importers.engine.workspace import Workspace
from fedehr_client.importers.meds.dataset_folder import DatasetFolder
from fedehr_client.importers.meds.event_rows import EventRows
from fedehr_client.importers.meds.staging import rows_of, stage_files
from fedehr_client.importers.meds.tables import SPLITS_TABLE
from fedehr_shared.meds.schema import HELD_OUT, TRAIN, TUNING

NAMES = {
    TRAIN: ("train", "training"),
    TUNING: ("tuning", "tune", "validation", "valid", "val", "dev"),
    HELD_OUT: ("held_out", "held-out", "heldout", "test", "testing"),
}
"""By split, what other tools call it."""

_TABLE = "meds_splits"


def read_splits(workspace: Workspace, source: DatasetFolder, events: EventRows) -> str:
    """Take the splits into the workspace and count what is repaired.

    Returns:
        A SELECT as `RecordsPlan.splits` takes it.

    Raises:
        DataError: the file is damaged, or too many of its rows are bad.
    """
    listed = _listed(workspace, source, events)
    rank = f"CASE split WHEN {quote(HELD_OUT)} THEN 3 WHEN {quote(TUNING)} THEN 2 ELSE 1 END"
    workspace.connection.execute(
        f"""CREATE TEMP TABLE {_TABLE} AS SELECT subject_id,
            [{quote(TRAIN)}, {quote(TUNING)}, {quote(HELD_OUT)}][max({rank})] AS split,
            count(DISTINCT split) > 1 AS is_repeated
        FROM ({listed}) WHERE split IS NOT NULL GROUP BY subject_id"""
    )
    _count(workspace, events)
    return f"SELECT subject_id, split FROM {_TABLE}"


def _listed(workspace: Workspace, source: DatasetFolder, events: EventRows) -> str:
    """A SELECT of subject_id and split, null where no habit knows its name."""
    if source.splits_file is None:
        return _of_folders(workspace, source, events)
    staged = stage_files(workspace, SPLITS_TABLE, [source.splits_file], source.path)
    rows = rows_of(staged)
    split = _present_name("split")
    renamed, unknown = workspace.connection.execute(
        f"""SELECT count_if({split} <> split), count_if({split} IS NULL) FROM {rows}"""
    ).fetchall()[0]
    _add(workspace, "splits_renamed", renamed)
    _add(workspace, "splits_of_unknown_name", unknown)
    return f"SELECT subject_id, {split} AS split FROM {rows}"


def _of_folders(workspace: Workspace, source: DatasetFolder, events: EventRows) -> str:
    """Shards in `data/train/` and the like say whose subjects are where."""
    selects = []
    for split, names in NAMES.items():
        staged = [
            part
            for file, part in zip(events.files, events.staged, strict=True)
            if file.relative_to(source.path / "data").parts[0].lower() in names
        ]
        if staged:
            rows = rows_of(staged)
            selects.append(f"SELECT DISTINCT subject_id, {quote(split)} AS split FROM {rows}")
    if not selects:
        return "SELECT NULL::BIGINT AS subject_id, NULL::VARCHAR AS split WHERE false"
    _add(workspace, "splits_taken_from_folders", 1)
    return " UNION ALL ".join(selects)


def _present_name(column: str) -> str:
    cases = " ".join(
        f"WHEN lower({column}) IN ({', '.join(map(quote, names))}) THEN {quote(split)}"
        for split, names in NAMES.items()
    )
    return f"(CASE {cases} END)"


def _count(workspace: Workspace, events: EventRows) -> None:
    repeated, without_events, drawn = workspace.connection.execute(
        f"""WITH subjects AS (SELECT DISTINCT subject_id FROM {events.rows})
        SELECT (SELECT count(*) FROM {_TABLE} WHERE is_repeated),
            (SELECT count(*) FROM {_TABLE} ANTI JOIN subjects USING (subject_id)),
            (SELECT count(*) FROM subjects ANTI JOIN {_TABLE} USING (subject_id))"""
    ).fetchall()[0]
    _add(workspace, "subjects_in_two_splits", repeated)
    _add(workspace, "splits_drawn", drawn)
    if without_events:
        workspace.left_out["splits_without_events"] += without_events


def _add(workspace: Workspace, reason: str, num: int) -> None:
    if num:
        workspace.repairs[reason] += num
