"""Writing a site folder from tables in memory, and the files beside its events."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fedehr_shared.errors import DataError
from fedehr_shared.meds.folder import FEDERATION_FILE, SiteFolder
from fedehr_shared.meds.schema import (
    CODES_SCHEMA,
    DATA_SCHEMA,
    MEDS_VERSION,
    SPLITS_SCHEMA,
)
from fedehr_shared.meds.shards import ShardWriter
from fedehr_shared.meds.splits import split_subjects


def write_site(
    folder: Path,
    *,
    events: pa.Table,
    codes: pa.Table,
    labels: Mapping[str, pa.Table],
    split_key: str,
    dataset: Mapping[str, Any],
) -> None:
    """Write one site's MEDS dataset into `folder`.

    Args:
        folder: the site's folder; its name is the site's name.
        events: columns of `DATA_SCHEMA`, in any order of rows.
        codes: columns of `CODES_SCHEMA`; every code of `events` must be there.
        labels: by task, columns of MEDS' LabelSchema.
        split_key: the key of the federation folder.
        dataset: further entries of `dataset.json` (`dataset_name`, `etl_name`, ...).

    Raises:
        DataError: there are no events, or a code is missing from `codes`.
    """
    if events.num_rows == 0:
        raise DataError(f"site '{folder.name}' has no events. Leave it out or check the source.")
    site = SiteFolder(folder)
    (folder / "metadata").mkdir(parents=True)
    (folder / "labels").mkdir()
    # MEDS wants null (static) times first within a subject.
    ordered = events.select(DATA_SCHEMA.names).cast(DATA_SCHEMA)
    ordered = ordered.take(
        pc.sort_indices(
            ordered,
            sort_keys=[
                ("subject_id", "ascending", "at_start"),
                ("time", "ascending", "at_start"),
                ("code", "ascending", "at_start"),
            ],
        )
    )
    _check_codes(ordered, codes, folder.name)
    with ShardWriter(folder / "data") as writer:
        writer.write(ordered)
    pq.write_table(codes.select(CODES_SCHEMA.names).cast(CODES_SCHEMA), site.codes_file)
    subjects = ordered.column("subject_id").unique().to_pylist()
    splits = {"subject_id": subjects, "split": split_subjects(subjects, split_key)}
    pq.write_table(pa.table(splits, schema=SPLITS_SCHEMA), site.splits_file)
    for task, table in labels.items():
        file = folder / "labels" / f"{task}.parquet"
        pq.write_table(table, file)
    write_dataset_file(site, dataset)


def write_dataset_file(site: SiteFolder, dataset: Mapping[str, Any]) -> None:
    """Write MEDS's `dataset.json`; `dataset` holds `dataset_name`, `etl_name`, ..."""
    about = {"meds_version": MEDS_VERSION, "other_extension_columns": ["visit_id"], **dataset}
    site.dataset_file.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


def write_federation_file(folder: Path, content: Mapping[str, Any]) -> None:
    """Write `federation.json`; `content` holds at least `source`, `split_key` and `tasks`."""
    text = json.dumps({"format": 1, **content}, indent=2) + "\n"
    (folder / FEDERATION_FILE).write_text(text, encoding="utf-8")


def _check_codes(events: pa.Table, codes: pa.Table, site: str) -> None:
    known = set(codes.column("code").to_pylist())
    missing = [c for c in events.column("code").unique().to_pylist() if c not in known]
    if missing:
        raise DataError(
            f"site '{site}': {len(missing)} code(s) of the events are not in codes.parquet. "
            "This is a fault of the importer; report it."
        )
