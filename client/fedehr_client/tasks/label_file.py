"""Labels that a hospital already has, from a CSV: `subject_id, prediction_time, value`, and for
times to an event `event`: whether it was seen after so many hours, or nothing until then.

Every row must hold; one that does not is left out, counted by reason and listed by its number
(the first row after the header is 1), never by its content.
"""

import json
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from fedehr_client.identity import IdentityHash, subject_id_of
from fedehr_client.tasks.label_times import NO_TIME, parse_times
from fedehr_shared.errors import DataError, UsageError
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.meds.reader import read_splits

Kind = Literal["binary", "multiclass", "regression", "time_to_event"]
COLUMNS = ("subject_id", "prediction_time", "value")
EVENT = "event"
"""The further column of times to an event."""
REASONS = ("unknown_subject", "bad_time", "bad_value", "repeated_subject")
"""A bad row counts under the first that holds; of a subject's rows the first stands."""
NUM_LISTED = 100
LONGEST_CLASS = 200
_TRUE, _FALSE = ("1", "1.0", "true", "t", "yes", "y"), ("0", "0.0", "false", "f", "no", "n")


@dataclass(frozen=True)
class FileLabels:
    """What a label file gave.

    Attributes:
        labels: columns of MEDS' LabelSchema, by subject.
        num_rows: rows of the file.
        bad_rows: by reason, the numbers of all rows left out.
    """

    labels: pa.Table
    num_rows: int
    bad_rows: dict[str, list[int]] = field(default_factory=dict)

    @property
    def num_bad(self) -> int:
        """Rows left out."""
        return sum(len(rows) for rows in self.bad_rows.values())

    def to_dict(self) -> dict[str, Any]:
        """As JSON; of each reason the first `NUM_LISTED` rows are listed."""
        return {
            "num_rows": self.num_rows,
            "num": self.labels.num_rows,
            "bad_rows": {
                reason: {"num": len(rows), "rows": rows[:NUM_LISTED]}
                for reason, rows in self.bad_rows.items()
            },
        }


@dataclass(frozen=True)
class FileReading:
    """How a label file is read.

    Attributes:
        timezone: of times without an offset; None: that of the site's import.
        max_bad_share: more bad rows than this share refuse the file.
        identity: the hash that the import used, where `subject_id` is the hospital's own number.
    """

    timezone: str | None = None
    max_bad_share: float = 0.01
    identity: IdentityHash | None = None


def read_label_file(file: Path, site: SiteFolder, kind: Kind, reading: FileReading) -> FileLabels:
    """Read and check a label file against the site's subjects.

    Args:
        file: the CSV, which may be gzipped.
        site: whose subjects.
        kind: what `value` holds.
        reading: how its cells are read, and how many may be bad.

    Raises:
        DataError: the file is missing or malformed, or too many rows are bad.
        UsageError: there is no such time zone, or the site's times are local.
    """
    frame = _read_frame(file, columns_of(kind))
    zone = _zone_of(site, reading.timezone)
    numbers = [subject_id_of(text, reading.identity) for text in frame["subject_id"]]
    subjects = pd.Series(pd.array(numbers, "Int64"))
    known = subjects.isin(list(read_splits(site))).fillna(False)
    times = parse_times(frame["prediction_time"], zone)
    values, is_value = _parse_values(frame["value"], kind)
    events, is_event = _parse_events(frame, kind)
    is_value = is_value & is_event
    is_good = known.to_numpy(dtype=bool) & (times != NO_TIME) & is_value
    repeated = np.zeros(len(frame), dtype=bool)
    repeated[is_good] = subjects[is_good].duplicated().to_numpy()
    reasons = np.select(
        [~known.to_numpy(dtype=bool), times == NO_TIME, ~is_value, repeated], REASONS, default=""
    )
    bad = {reason: (np.flatnonzero(reasons == reason) + 1).tolist() for reason in REASONS}
    keep = reasons == ""
    result = FileLabels(
        _table(subjects[keep].to_numpy(np.int64), times[keep], values[keep], events[keep], kind),
        len(frame),
        bad,
    )
    if result.num_bad > reading.max_bad_share * len(frame):
        raise DataError(_refusal(file, result, reading.max_bad_share))
    return result


def columns_of(kind: Kind) -> tuple[str, ...]:
    """The header of a file."""
    return (*COLUMNS, EVENT) if kind == "time_to_event" else COLUMNS


def _read_frame(file: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    try:
        with warnings.catch_warnings():
            # Rows with more fields than the header would lose them with a warning alone.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(
                file, dtype=str, keep_default_na=False, index_col=False, encoding="utf-8-sig"
            )
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror or 'it is damaged'}.") from None
    except (ValueError, EOFError, pd.errors.ParserWarning):
        # Their texts quote the file.
        raise DataError(
            f"{file} is not a well-formed CSV in UTF-8 with the header {','.join(columns)}. "
            "Write it again."
        ) from None
    frame = frame.rename(columns=lambda name: str(name).strip().lower())
    missing = [name for name in columns if list(frame.columns).count(name) != 1]
    if missing:
        raise DataError(
            f"{file} must have the column(s) {', '.join(missing)} once. Its header should be "
            f"{','.join(columns)}."
        )
    if frame.empty:
        raise DataError(f"{file} holds no rows. Check the export.")
    return pd.DataFrame({name: frame[name].fillna("").str.strip() for name in columns})


def _parse_values(
    texts: "pd.Series[str]", kind: Kind
) -> tuple["np.ndarray[Any, Any]", "np.ndarray[Any, np.dtype[np.bool_]]"]:
    if kind == "multiclass":
        return texts.to_numpy(object), texts.str.len().between(1, LONGEST_CLASS).to_numpy(bool)
    if kind in {"regression", "time_to_event"}:
        numbers = pd.to_numeric(texts, errors="coerce").to_numpy(np.float64)
        with np.errstate(over="ignore"):
            is_number = np.isfinite(numbers.astype(np.float32))
        return numbers, is_number & ((kind == "regression") | (numbers >= 0))
    return _parse_truths(texts)


def _parse_events(
    frame: pd.DataFrame, kind: Kind
) -> tuple["np.ndarray[Any, Any]", "np.ndarray[Any, np.dtype[np.bool_]]"]:
    """Whether each event was seen, of times to an event."""
    if kind == "time_to_event":
        return _parse_truths(frame[EVENT])
    return np.zeros(len(frame), dtype=bool), np.ones(len(frame), dtype=bool)


def _parse_truths(
    texts: "pd.Series[str]",
) -> tuple["np.ndarray[Any, Any]", "np.ndarray[Any, np.dtype[np.bool_]]"]:
    lower = texts.str.lower()
    is_true = lower.isin(_TRUE).to_numpy(bool)
    return is_true, is_true | lower.isin(_FALSE).to_numpy(bool)


def _table(subjects: Any, times: Any, values: Any, events: Any, kind: Kind) -> pa.Table:
    numbers = ("float_value", values, pa.float32())
    columns = {
        "binary": [("boolean_value", values, pa.bool_())],
        "multiclass": [("categorical_value", values, pa.string())],
        "regression": [numbers],
        "time_to_event": [("boolean_value", events, pa.bool_()), numbers],
    }[kind]
    schema = pa.schema(
        [
            pa.field("subject_id", pa.int64(), nullable=False),
            pa.field("prediction_time", pa.timestamp("us"), nullable=False),
            *(pa.field(name, type_) for name, _, type_ in columns),
        ]
    )
    order = np.argsort(subjects, kind="stable")
    arrays = [
        pa.array(subjects[order], pa.int64()),
        pa.array(times[order], pa.int64()).cast(pa.timestamp("us")),
        *(pa.array(own[order]).cast(type_) for _, own, type_ in columns),
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def _zone_of(site: SiteFolder, timezone: str | None) -> str | None:
    """The zone of times without an offset, None where the site keeps local times."""
    if not site.import_file.is_file():
        return timezone
    try:
        own = json.loads(site.import_file.read_text(encoding="utf-8")).get("timezone")
    except (OSError, ValueError, AttributeError):
        raise DataError(f"{site.import_file} is damaged. Import the records again.") from None
    if timezone is not None and own is None:
        raise UsageError(
            f"--timezone {timezone}: the records of '{site.name}' were imported without a time "
            "zone and hold local times. Leave it out, or import the records with one."
        )
    return timezone or (None if own is None else str(own))


def _refusal(file: Path, result: FileLabels, max_bad_share: float) -> str:
    told = [
        f"{reason} {len(rows)} (row {', '.join(map(str, rows[:5]))}{', ...' * (len(rows) > 5)})"
        for reason, rows in result.bad_rows.items()
        if rows
    ]
    return (
        f"{result.num_bad} of {result.num_rows} rows of {file} are bad, more than "
        f"--max-bad-share {max_bad_share:g}: {'; '.join(told)}. Mend them, or raise the share."
    )
