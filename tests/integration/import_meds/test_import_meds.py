"""What other tools' MEDS has that ours may not: each is repaired, and each repair is counted."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fedehr_shared.meds.reader import read_events, read_labels, read_splits
from fedehr_shared.meds.splits import DEFAULT_SPLIT_KEY, split_of

START = datetime(2020, 1, 1)


def _rows(site: Any) -> list[tuple[Any, ...]]:
    table = pa.concat_tables(pq.read_table(file) for file in site.data_files)
    return list(zip(*table.to_pydict().values(), strict=True))


def _codes(site: Any) -> dict[str, dict[str, Any]]:
    return {row["code"]: row for row in pq.read_table(site.codes_file).to_pylist()}


def test_without_metadata(source: Path, site: Any, import_meds: Any) -> None:
    summary = import_meds(source)
    assert summary.repairs == {
        "codes_file_missing": 1, "codes_missing_from_codes_file": 3, "splits_drawn": 6
    }  # fmt: skip
    assert set(_codes(site)) == {"SEX//F", "SEX//M", "LAB//x"}
    assert read_splits(site) == {i: split_of(i, DEFAULT_SPLIT_KEY) for i in range(1, 7)}
    assert json.loads(site.import_file.read_text())["repairs"] == summary.repairs
    assert len(read_events(site)) == 24


def test_older_names_and_types(source: Path, site: Any, import_meds: Any, write: Any) -> None:
    import_meds(source, "plain")
    for file in sorted((source / "data").iterdir()):
        table = pq.read_table(file)
        file.unlink()
        write(
            source / "data" / "train" / file.name,
            patient_id=table.column("subject_id").cast(pa.int32()),
            timestamp=table.column("time").cast(pa.timestamp("ns")).cast(pa.timestamp("ns", "UTC")),
            code=table.column("code").cast(pa.large_string()).dictionary_encode(),
            value=table.column("numeric_value").cast(pa.float64()),
            encounter_id=pa.nulls(len(table), pa.int64()),
        )
    summary = import_meds(source)
    assert _rows(site) == _rows(type(site)(site.path.parent / "plain"))
    assert set(read_splits(site).values()) == {"train"}
    assert summary.repairs == {
        "codes_file_missing": 1,
        "codes_missing_from_codes_file": 3,
        "files_with_patient_id_for_subject_id": 2,
        "files_with_time_in_ns": 2,
        "files_with_time_zone": 2,
        "files_with_timestamp_for_time": 2,
        "files_with_value_for_numeric_value": 2,
        "splits_taken_from_folders": 1,
    }


def test_disorder_is_put_in_order_and_counted(
    source: Path, site: Any, import_meds: Any, shard: Any
) -> None:
    import_meds(source, "plain")
    whole = pa.concat_tables(pq.read_table(f) for f in sorted((source / "data").iterdir()))
    rows = list(zip(*whole.to_pydict().values(), strict=True))
    for file in (source / "data").iterdir():
        file.unlink()
    shard(source / "data" / "a.parquet", rows[::-2] + rows[:1])
    shard(source / "data" / "b" / "c.parquet", rows[::2])
    summary = import_meds(source)
    assert _rows(site) == _rows(type(site)(site.path.parent / "plain"))
    assert summary.repairs["subjects_in_several_shards"] == 6
    # Reversed, of a subject's two rows one stands before the other; and the last row is static.
    assert summary.repairs["rows_out_of_order"] == 6 + 1
    assert summary.left_out == {"duplicate_events": 1}


def test_a_subject_in_pieces_within_a_shard(
    source: Path, site: Any, import_meds: Any, shard: Any
) -> None:
    rows = [(i, START.replace(day=d), "a", None) for d in (1, 2, 3) for i in (7, 8)]
    shard(source / "data" / "z.parquet", rows)
    assert import_meds(source).repairs["subjects_in_pieces"] == 4
    assert len(read_events(site)) == 30


def test_codes_are_kept_completed_and_given_ancestors(
    source: Path, site: Any, import_meds: Any, write: Any
) -> None:
    write(
        source / "metadata" / "codes.parquet",
        code=["LAB//x", "LAB//x", "UNUSED", " PARENT "],
        description=["first", "second", "nobody", "above"],
        parent_codes=pa.array([["PARENT", "OTHER//PARENT"], None, None, ["ROOT"]]),
        unit=["g", "g", "", ""],
    )
    summary = import_meds(source)
    codes = _codes(site)
    assert set(codes) == {"LAB//x", "SEX//F", "SEX//M", "PARENT", "OTHER//PARENT", "ROOT"}
    assert codes["LAB//x"]["parent_codes"] == ["PARENT", "OTHER//PARENT"]
    assert codes["PARENT"]["description"] == "above"
    assert codes["LAB//x"]["description"] in {"first", "second"}
    assert summary.repairs["codes_missing_from_codes_file"] == 2


@pytest.mark.parametrize(
    "parents", [pa.nulls(1), pa.nulls(1, pa.string()), pa.array(["UP"]), pa.array([["UP"]])]
)
def test_parents_of_any_type(
    source: Path, site: Any, import_meds: Any, write: Any, parents: pa.Array
) -> None:
    write(source / "metadata" / "codes.parquet", code=["LAB//x"], parent_codes=parents)
    import_meds(source)
    wanted = ["UP"] if parents.null_count == 0 else []
    assert (_codes(site)["LAB//x"]["parent_codes"] or []) == wanted


def test_splits_of_other_habits(source: Path, site: Any, import_meds: Any, write: Any) -> None:
    write(
        source / "metadata" / "patient_splits.parquet",
        patient_id=pa.array([1, 2, 3, 4, 4, 5, 5, 99]),
        split=["TEST", "val", "train", "train", "held_out", "tuning", "train", "train"],
    )
    summary = import_meds(source)
    assert read_splits(site) == {
        1: "held_out", 2: "tuning", 3: "train", 4: "held_out", 5: "tuning",
        6: split_of(6, DEFAULT_SPLIT_KEY),
    }  # fmt: skip
    assert summary.repairs["subjects_in_two_splits"] == 2
    assert summary.repairs["splits_renamed"] == 2
    assert summary.repairs["splits_drawn"] == 1
    assert summary.left_out["splits_without_events"] == 1


def test_a_split_that_nobody_knows_is_drawn(
    source: Path, site: Any, import_meds: Any, write: Any
) -> None:
    write(
        source / "metadata" / "subject_splits.parquet",
        subject_id=pa.array([1, 2]),
        split=["firmA", "train"],
    )
    summary = import_meds(source)
    assert read_splits(site)[1] == split_of(1, DEFAULT_SPLIT_KEY)
    assert summary.repairs["splits_of_unknown_name"] == 1


def test_texts_are_dropped_and_counted(
    source: Path, site: Any, import_meds: Any, write: Any
) -> None:
    write(
        source / "data" / "notes.parquet",
        subject_id=pa.array([7, 7, 7]),
        time=pa.array([START] * 3, pa.timestamp("us")),
        code=["NOTE", "LAB", "LAB"],
        text_value=pa.array(["secret", None, None], pa.large_string()),
        numeric_value=["", "4.5", "high"],
    )
    summary = import_meds(source)
    assert summary.left_out["text_values"] == 2
    assert sorted(row[2:4] for row in _rows(site) if row[0] == 7 and row[3]) == [("LAB", 4.5)]
    assert not any(b"secret" in file.read_bytes() for file in site.path.rglob("*.*"))


def test_times_that_mean_none_become_static(
    source: Path, site: Any, import_meds: Any, shard: Any
) -> None:
    times = [datetime(1, 1, 1), datetime(1677, 9, 21, 0, 12, 43, 145224), None, START]
    shard(source / "data" / "s.parquet", [(7, t, "a", float(i)) for i, t in enumerate(times)])
    assert import_meds(source).repairs["static_times_emptied"] == 2
    assert [row[1] for row in _rows(site) if row[0] == 7] == [None, None, None, START]


def test_birth_death_and_sex_get_their_present_names(
    source: Path, site: Any, import_meds: Any, shard: Any, write: Any
) -> None:
    old = ["SNOMED/184099003", "SNOMED/419620001", "GENDER//F", "Gender/M"]
    shard(source / "data" / "s.parquet", [(7, START, code, None) for code in old])
    write(source / "metadata" / "codes.parquet", code=["GENDER//F"], description=["a woman"])
    assert import_meds(source).repairs["codes_renamed"] == 4
    codes = {row[2] for row in _rows(site) if row[0] == 7}
    assert codes == {"MEDS_BIRTH", "MEDS_DEATH", "SEX//F", "SEX//M"}
    assert _codes(site)["SEX//F"]["description"] == "a woman"


def test_visits_that_are_texts_become_numbers(
    source: Path, site: Any, import_meds: Any, shard: Any
) -> None:
    rows = [(7, START, "a", float(number)) for number in range(4)]
    visits = ["9f-e1", "9f-e1", "12", None]
    shard(source / "data" / "s.parquet", rows, hadm_id=pa.array(visits))
    assert import_meds(source).repairs["visits_numbered"] == 2
    found = [row[4] for row in _rows(site) if row[0] == 7]
    assert found[0] == found[1] != found[2] == 12
    assert found[3] is None


def test_billing_codes_are_known_later(
    source: Path, site: Any, import_meds: Any, shard: Any
) -> None:
    shard(source / "data" / "s.parquet", [(7, START, "DIAGNOSIS//ICD//10//I50", None)])
    import_meds(source)
    assert _codes(site)["DIAGNOSIS//ICD//10//I50"]["delay_hours"] == 72
    assert _codes(site)["LAB//x"]["delay_hours"] is None
    import_meds(source, "other", delays=(("LAB//", 2.0),))
    codes = _codes(type(site)(site.path.parent / "other"))
    assert codes["DIAGNOSIS//ICD//10//I50"]["delay_hours"] is None
    assert codes["LAB//x"]["delay_hours"] == 2


def test_local_times_become_utc_and_zoned_ones_stay(
    source: Path, site: Any, import_meds: Any, write: Any
) -> None:
    write(
        source / "data" / "zoned.parquet",
        subject_id=pa.array([7]),
        time=pa.array([START.replace(tzinfo=UTC)], pa.timestamp("us", "Europe/Berlin")),
        code=["a"],
    )
    import_meds(source, timezone="Europe/Berlin")
    times = {row[0]: row[1] for row in _rows(site) if row[1]}
    assert times[7] == START
    assert times[1] == datetime(2020, 1, 2, 23)
    import_meds(site.path, "again")
    again = type(site)(site.path.parent / "again")
    assert _rows(again) == _rows(site)
    assert json.loads(again.import_file.read_text())["timezone"] == "UTC"


def test_dates_of_the_future_have_no_common_end(
    source: Path, site: Any, import_meds: Any, shard: Any
) -> None:
    import_meds(source)
    assert json.loads(site.import_file.read_text())["end_time"].startswith("2020-01-03")
    shard(source / "data" / "s.parquet", [(7, datetime(2150, 1, 1), "a", None)])
    import_meds(source, "shifted")
    about = json.loads((site.path.parent / "shifted" / "metadata" / "import.json").read_text())
    assert about["end_time"] is None


def test_labels_of_every_kind(source: Path, site: Any, import_meds: Any, write: Any) -> None:
    times = pa.array([START] * 3, pa.timestamp("us"))
    nulls = {"integer_value": pa.nulls(3, pa.int64()), "float_value": pa.nulls(3, pa.float32())}
    write(
        source / "labels" / "death.parquet",
        patient_id=pa.array([3, 1, 99]), prediction_time=times,
        boolean_value=[True, False, True], **nulls,
    )  # fmt: skip
    write(
        source / "labels" / "stay" / "train" / "0.parquet",
        subject_id=pa.array([1, 1, 2]),
        prediction_time=pa.array([START.replace(day=2), START, START], pa.timestamp("ns")),
        float_value=[2.5, 1.5, float("nan")],
    )
    write(
        source / "labels" / "unit.parquet",
        subject_id=pa.array([1, 2, 3]), prediction_time=times, integer_value=pa.array([2, 0, 1]),
    )  # fmt: skip
    summary = import_meds(source)
    labels = read_labels(site, "death")
    assert labels.subject_ids.tolist() == [1, 3]
    assert labels.values.tolist() == [0, 1]
    stay = pq.read_table(site.labels_file("stay")).to_pylist()
    assert stay == [{"subject_id": 1, "prediction_time": START, "float_value": 1.5}]
    unit = pq.read_table(site.labels_file("unit")).column("categorical_value").to_pylist()
    assert unit == ["2", "0", "1"]
    assert summary.left_out == {
        "labels_without_subject": 1, "labels_without_value": 1, "labels_after_the_first": 1
    }  # fmt: skip
    assert (site.path / "labels" / "death.toml").read_text() == 'source = "file"\n'
    import_meds(source, "none", labels=False)
    assert type(site)(site.path.parent / "none").tasks == []
    import_meds(source, "other", labels=source / "labels")
    assert type(site)(site.path.parent / "other").tasks == ["death", "stay", "unit"]


def test_subjects_beyond_int64_are_bad_rows(
    source: Path, site: Any, import_meds: Any, write: Any
) -> None:
    write(
        source / "data" / "2.parquet",
        subject_id=pa.array([2**63, 7, 2**64 - 1, *range(8, 500)], pa.uint64()),
        time=pa.array([START] * 495, pa.timestamp("us")),
        code=["LAB//x"] * 495,
    )
    summary = import_meds(source)
    (bad,) = summary.tables["data"]["bad_rows"].values()
    assert bad == {"num": 2, "rows": [1, 3]}
    assert {row[0] for row in _rows(site)} == set(range(1, 500))
