"""What a site's metadata still says of subjects who are gone: their codes, their last event."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fedehr_client.erasure.place import Place
from fedehr_client.erasure.table import PARTIAL_SUFFIX, replace_durably
from fedehr_shared.errors import DataError

_NUM_ROWS = 131_072


def renew_metadata(place: Place) -> None:
    """Drop the codes that no event has any more, and set the time of the last event.

    Both then are what a new import without the withdrawn subjects would write.

    Raises:
        DataError: a file is damaged.
    """
    try:
        used, last = _look_through(place.data_files)
        _keep_codes(place.records.codes_file, used)
        _set_end_time(place.records.path / "metadata" / "import.json", last)
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise DataError(
            f"cannot renew {place.records.path}/metadata: a file is missing or damaged. Import "
            "the records again; whoever has withdrawn is left out."
        ) from error


def _look_through(files: list[Path]) -> tuple[set[str], int | None]:
    """Every code of the events, and the time of the last one, in microseconds."""
    used: set[str] = set()
    last: int | None = None
    for file in files:
        with pq.ParquetFile(file, read_dictionary=["code"]) as source:
            for batch in source.iter_batches(_NUM_ROWS, columns=["time", "code"]):
                used.update(pc.unique(batch.column("code")).to_pylist())
                latest = pc.max(batch.column("time").cast(pa.int64())).as_py()
                last = max((each for each in (last, latest) if each is not None), default=None)
    return used, last


def _keep_codes(file: Path, used: set[str]) -> None:
    table = pq.read_table(file)
    kept = _with_ancestors(table, used)
    rows = [code in kept for code in table.column("code").to_pylist()]
    if all(rows):
        return
    partial = file.with_name(f".{file.name}{PARTIAL_SUFFIX}")
    pq.write_table(table.filter(pa.array(rows)), partial, compression="zstd")
    replace_durably(partial, file)


def _with_ancestors(table: pa.Table, used: set[str]) -> set[str]:
    if "parent_codes" not in table.column_names:
        return used
    pairs = zip(
        table.column("code").to_pylist(), table.column("parent_codes").to_pylist(), strict=True
    )
    parents: dict[str, list[str]] = {}
    for code, of_code in pairs:
        parents.setdefault(code, []).extend(of_code or [])
    kept: set[str] = set()
    waiting = list(used)
    while waiting:
        code = waiting.pop()
        if code not in kept:
            kept.add(code)
            waiting += parents.get(code, [])
    return kept


def _set_end_time(file: Path, last: int | None) -> None:
    if not file.is_file():
        return
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    if content.get("end_time") is None:
        return
    content["end_time"] = None if last is None else str(np.datetime64(last, "us"))
    partial = file.with_name(f".{file.name}{PARTIAL_SUFFIX}")
    partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    replace_durably(partial, file)
