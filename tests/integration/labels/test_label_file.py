"""Labels from a CSV: good ones come in, bad rows are numbered, and no text is shown."""

import gzip
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import meds
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedehr_client.tasks.label_file import REASONS, FileLabels, FileReading, Kind, read_label_file
from fedehr_shared.errors import DataError, FedehrError, UsageError
from fedehr_shared.meds.folder import SiteFolder

BERLIN = "Europe/Berlin"
HEADER = "subject_id,prediction_time,value\n"


@pytest.fixture
def site(make_site: Any) -> SiteFolder:
    found: SiteFolder = make_site([(s, 0.0, "HOSPITAL_ADMISSION//x", s) for s in range(1, 41)])
    return found


def _read(
    site: SiteFolder,
    folder: Path,
    rows: str,
    kind: Kind = "binary",
    *,
    timezone: str | None = None,
    share: float = 1.0,
) -> FileLabels:
    file = folder / "labels.csv"
    file.write_text(HEADER + rows, encoding="utf-8")
    return read_label_file(file, site, kind, FileReading(timezone, share))


def test_each_kind_gives_a_table_of_meds(site: SiteFolder, tmp_path: Path) -> None:
    rows: dict[Kind, str] = {
        "binary": "3,2020-01-05,yes\n1,2020-01-05 10:30,0\n2,2020-01-05T10:30:01.5,TRUE\n",
        "multiclass": '3,2020-01-05,home\n1,2020-01-05,"a, b"\n2,2020-01-05,1\n',
        "regression": "3,2020-01-05,1e3\n1,2020-01-05,-2.5\n2,2020-01-05,7\n",
    }
    columns = {"binary": "boolean_value", "multiclass": "categorical_value",
               "regression": "float_value"}  # fmt: skip
    expected = {"binary": [False, True, True], "multiclass": ["a, b", "1", "home"],
                "regression": [-2.5, 7.0, 1000.0]}  # fmt: skip
    for kind, text in rows.items():
        given = _read(site, tmp_path, text, kind)
        meds.LabelSchema.validate(given.labels)
        assert given.num_bad == 0
        assert given.labels.column("subject_id").to_pylist() == [1, 2, 3]
        assert given.labels.column(columns[kind]).to_pylist() == expected[kind]
    times = _read(site, tmp_path, rows["binary"]).labels.column("prediction_time").to_pylist()
    assert times[0] == datetime(2020, 1, 5, 10, 30)
    assert times[1] == datetime(2020, 1, 5, 10, 30, 1, 500_000)
    assert times[2] == datetime(2020, 1, 5)


def test_bad_rows_are_numbered_under_the_first_reason(site: SiteFolder, tmp_path: Path) -> None:
    rows = [
        "1,2020-01-05,1", "999,2020-01-05,1", "x,2020-01-05,1", ",2020-01-05,1",
        "2,5.1.2020,1", "3,2020-13-05,1", "4,,1", "5,2020-01-05,2", "6,2020-01-05,",
        "1,2020-02-05,0", "7,2020-01-05 25:00,1", "8.0,2020-01-05,1", "9,2020-01-05 10:00+01:00,1",
        "10,2020-01-05,0",
    ]  # fmt: skip
    given = _read(site, tmp_path, "\n".join(rows))
    assert given.bad_rows == {
        "unknown_subject": [2, 3, 4, 12],
        "bad_time": [5, 6, 7, 11, 13],
        "bad_value": [8, 9],
        "repeated_subject": [10],
    }
    assert given.labels.column("subject_id").to_pylist() == [1, 10]
    assert given.labels.column("boolean_value").to_pylist() == [True, False]
    told = given.to_dict()
    assert told["num_rows"] == len(rows) == told["num"] + given.num_bad


@pytest.mark.parametrize("kind", ["binary", "regression", "multiclass"])
def test_too_many_bad_rows_refuse_the_file_without_showing_it(
    kind: Kind, site: SiteFolder, tmp_path: Path
) -> None:
    good = "".join(f"{s},2020-01-05,1\n" for s in range(1, 40))
    assert _read(site, tmp_path, good + "777777,2020-01-05,1", kind, share=0.025).num_bad == 1
    with pytest.raises(DataError, match=r"unknown_subject 1 \(row 40\)") as refused:
        _read(site, tmp_path, good + "777777,2020-01-05,1", kind, share=0.02)
    assert "777777" not in str(refused.value)


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "1e39", "", "1,5", "0x10"])
def test_a_number_must_be_finite_as_float32(number: str, site: SiteFolder, tmp_path: Path) -> None:
    given = _read(site, tmp_path, f'1,2020-01-05,"{number}"', "regression")
    assert given.bad_rows["bad_value"] == [1]


def _imported_with(site: SiteFolder, timezone: str | None) -> None:
    zone = "null" if timezone is None else f'"{timezone}"'
    site.import_file.write_text(f'{{"format": 1, "timezone": {zone}, "end_time": null}}')


def test_times_are_read_in_the_zone_of_the_import(site: SiteFolder, tmp_path: Path) -> None:
    _imported_with(site, BERLIN)
    rows = (
        "1,2020-01-05 10:00,1\n2,2020-07-05 10:00,1\n3,2020-07-05T10:00Z,1\n"
        "4,2020-07-05T10:00+02:00,1\n"
        # The clock passes 02:30 twice: the earlier one counts. It skips 02:30: an hour later.
        "5,2020-10-25 02:30,1\n6,2020-03-29 02:30,1\n"
    )
    times = _read(site, tmp_path, rows).labels.column("prediction_time").to_pylist()
    hours = [(1, 5, 9, 0), (7, 5, 8, 0), (7, 5, 10, 0), (7, 5, 8, 0), (10, 25, 0, 30)]
    hours += [(3, 29, 1, 30)]
    assert times == [datetime(2020, *hour) for hour in hours]
    shifted = _read(site, tmp_path, rows, timezone="UTC").labels
    assert shifted.column("prediction_time").to_pylist()[0] == datetime(2020, 1, 5, 10)


def test_local_records_take_no_zone(site: SiteFolder, tmp_path: Path) -> None:
    _imported_with(site, None)
    assert _read(site, tmp_path, "1,2020-01-05 10:00,1").num_bad == 0
    with pytest.raises(UsageError, match="local times"):
        _read(site, tmp_path, "1,2020-01-05 10:00,1", timezone=BERLIN)


def test_an_unknown_zone_is_named(site: SiteFolder, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Mars/Base"):
        _read(site, tmp_path, "1,2020-01-05 10:00,1", timezone="Mars/Base")


BAD_FILES = {
    "no file": None,
    "empty": b"",
    "header alone": HEADER.encode(),
    "no value": b"subject_id,prediction_time\n1,2020-01-05\n",
    "column twice": b"subject_id,prediction_time,value,Value\n1,2020-01-05,1,1\n",
    "too many fields": HEADER.encode() + b"1,2020-01-05,1\n2,2020-01-05,SECRET,1,1\n",
    "not UTF-8": HEADER.encode() + b"1,2020-01-05,SECRET\xff\xfe\n",
    "open quote": HEADER.encode() + b'1,2020-01-05,"SECRET\n',
    "binary": bytes(range(256)) * 20,
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_malformed_file_is_refused_without_its_text(
    case: str, site: SiteFolder, tmp_path: Path
) -> None:
    file = tmp_path / "labels.csv"
    content = BAD_FILES[case]
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(DataError) as refused:
        read_label_file(file, site, "binary", FileReading())
    assert "labels.csv" in str(refused.value)
    assert "SECRET" not in str(refused.value)


def test_a_gzipped_file_is_read_and_a_truncated_one_refused(
    site: SiteFolder, tmp_path: Path
) -> None:
    file = tmp_path / "labels.csv.gz"
    content = gzip.compress((HEADER + "1,2020-01-05,1\n" * 1).encode())
    file.write_bytes(content)
    assert read_label_file(file, site, "binary", FileReading()).labels.num_rows == 1
    file.write_bytes(content[:-6])
    with pytest.raises(DataError):
        read_label_file(file, site, "binary", FileReading())


TIMES = st.datetimes(datetime(1700, 1, 1), datetime(2500, 1, 1))
FIELD = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["1", "2", "true", "nan", "2020-01-05", "2020-01-05T10:00Z", "1e400", '"']),
    TIMES.map(datetime.isoformat),
    st.integers(-(10**20), 10**20).map(str),
)


@settings(
    deadline=None, max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(
    rows=st.lists(st.lists(FIELD, min_size=1, max_size=4), max_size=6),
    kind=st.sampled_from(["binary", "multiclass", "regression"]),
    timezone=st.sampled_from([None, BERLIN]),
    cut=st.integers(0, 3),
)
def test_no_file_ends_in_anything_but_labels_or_a_refusal(
    rows: list[list[str]],
    kind: Kind,
    timezone: str | None,
    cut: int,
    *,
    site: SiteFolder,
    tmp_path: Path,
) -> None:
    text = HEADER + "\n".join(",".join(row) for row in rows)
    file = tmp_path / "labels.csv"
    raw = text.encode("utf-8", "surrogatepass")
    file.write_bytes(raw[: len(raw) - cut])
    try:
        given = read_label_file(file, site, kind, FileReading(timezone, 1.0))
    except FedehrError:
        return
    meds.LabelSchema.validate(given.labels)
    assert given.labels.num_rows + given.num_bad == given.num_rows
    assert set(given.bad_rows) == set(REASONS)
    subjects = given.labels.column("subject_id").to_pylist()
    assert subjects == sorted(set(subjects))
    assert set(subjects) <= set(range(1, 41))


@settings(deadline=None)
@given(moment=TIMES, seconds=st.integers(-7_000, 7_000))
def test_a_later_local_time_is_never_an_earlier_one_but_where_the_clock_goes_back(
    moment: datetime, seconds: int
) -> None:
    import pandas as pd

    from fedehr_client.tasks.label_times import parse_times

    texts = pd.Series([moment.isoformat(), (moment + timedelta(seconds=seconds)).isoformat()])
    first, second = parse_times(texts, None).tolist()
    assert (second - first) == seconds * 1_000_000
    first, second = parse_times(texts, BERLIN).tolist()
    assert abs((second - first) - seconds * 1_000_000) <= 3_600_000_000
