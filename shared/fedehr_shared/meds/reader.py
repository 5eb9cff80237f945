"""Reading a site's MEDS dataset whole: its splits, its labels, all its events."""

from fedehr_shared.errors import DataError
from fedehr_shared.meds.code_table import read_codes
from fedehr_shared.meds.event_stream import stream_events
from fedehr_shared.meds.events import NO_TIME, NO_VISIT, Events, join_events
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.meds.labels import Labels, read_labels
from fedehr_shared.meds.schema import SPLITS
from fedehr_shared.meds.table_file import read_table

__all__ = [
    "NO_TIME",
    "NO_VISIT",
    "Events",
    "Labels",
    "read_events",
    "read_labels",
    "read_parents",
    "read_splits",
]


def read_events(site: SiteFolder) -> Events:
    """All events of a site at once: for small sites; `stream_events` is for any.

    Raises:
        DataError: as `stream_events`, or `codes.parquet` is damaged.
    """
    return join_events(list(stream_events(site, read_codes(site))))


def read_parents(site: SiteFolder) -> dict[str, str]:
    """Each code's first parent, from `codes.parquet`."""
    table = read_table(site.codes_file, ["code", "parent_codes"])
    pairs = zip(
        table.column("code").to_pylist(), table.column("parent_codes").to_pylist(), strict=True
    )
    return {code: parents[0] for code, parents in pairs if parents}


def read_splits(site: SiteFolder) -> dict[int, str]:
    """Each subject's split.

    Raises:
        DataError: the file is damaged or names a split that MEDS does not know.
    """
    table = read_table(site.splits_file, ["subject_id", "split"])
    splits = table.column("split").to_pylist()
    unknown = set(splits) - set(SPLITS)
    if unknown:
        raise DataError(
            f"{site.splits_file} names {len(unknown)} split(s) other than {', '.join(SPLITS)}. "
            "Import the records again."
        )
    return dict(zip(table.column("subject_id").to_pylist(), splits, strict=True))
