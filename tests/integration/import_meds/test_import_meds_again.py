"""Importing MEDS again, without writing the source, and what is refused."""

from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from fedehr_shared.errors import DataError, UsageError
from fedehr_shared.meds.reader import read_events, read_splits

START = datetime(2020, 1, 1)


def _codes(site: Any) -> dict[str, dict[str, Any]]:
    return {row["code"]: row for row in pq.read_table(site.codes_file).to_pylist()}


def test_a_reimport_keeps_splits_and_takes_the_sources_for_new_subjects(
    source: Path, site: Any, import_meds: Any, shard: Any, write: Any
) -> None:
    import_meds(source)
    before = read_splits(site)
    shard(source / "data" / "s.parquet", [(7, START, "a", None), (8, START, "a", None)])
    turned = {"train": "held_out", "held_out": "train", "tuning": "train"}
    write(
        source / "metadata" / "subject_splits.parquet",
        subject_id=pa.array([*before, 7, 8]),
        split=[turned[split] for split in before.values()] + ["held_out", "tuning"],
    )
    import_meds(source, replace=True)
    assert read_splits(site) == {**before, 7: "held_out", 8: "tuning"}


def test_the_source_is_never_written(source: Path, tmp_path: Path, import_meds: Any) -> None:
    before = {file: file.read_bytes() for file in source.rglob("*") if file.is_file()}
    for out in ("source", "source/data/site", "."):
        with pytest.raises(UsageError, match="never written"):
            import_meds(source, out, replace=True)
    import_meds(source)
    assert {file: file.read_bytes() for file in source.rglob("*") if file.is_file()} == before


def test_bad_rows_are_listed_by_file_and_number(
    source: Path, site: Any, import_meds: Any, write: Any
) -> None:
    write(
        source / "data" / "x" / "s.parquet",
        subject_id=pa.array([7, None, 7, 7]),
        time=pa.array([START, START, datetime(1700, 1, 1), START], pa.timestamp("us")),
        code=["a", "b", "c", " "],
    )
    with pytest.raises(DataError, match="3 of 28 rows are bad"):
        import_meds(source)
    summary = import_meds(source, max_bad_share=0.5)
    bad = summary.tables["data"]["bad_rows"]
    assert {reason: found["rows"] for reason, found in bad.items()} == {
        "subject_id is empty (data/x/s.parquet)": [2],
        "time lies before 1850 or in the future (data/x/s.parquet)": [3],
        "code is empty (data/x/s.parquet)": [4],
    }
    assert len(read_events(site)) == 25


@pytest.mark.parametrize(
    ("made", "says"),
    [
        ("empty", "found an empty folder"),
        ("csv", "found patients.csv"),
        ("file", "found a file"),
        ("none", "found nothing there"),
        ("metadata", "found metadata/"),
    ],
)
def test_what_is_no_meds_is_described(
    tmp_path: Path, import_meds: Any, made: str, says: str
) -> None:
    folder = tmp_path / "other"
    if made == "file":
        folder.write_text("secret")
    elif made != "none":
        folder.mkdir()
    if made == "csv":
        (folder / "patients.csv").write_text("secret")
    if made == "metadata":
        (folder / "metadata").mkdir()
    with pytest.raises(DataError, match=r"expected data/\*\*/\*\.parquet") as caught:
        import_meds(folder)
    assert says in str(caught.value)
    assert "secret" not in str(caught.value)
    assert not (tmp_path / "site").exists()


def test_rows_by_subject_of_the_first_versions_are_refused(
    tmp_path: Path, import_meds: Any, write: Any
) -> None:
    write(
        tmp_path / "old" / "data" / "0.parquet",
        patient_id=pa.array([1]), static_measurements=pa.nulls(1), events=pa.array([[{"time": 1}]]),
    )  # fmt: skip
    with pytest.raises(DataError, match="a row a subject"):
        import_meds(tmp_path / "old")


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        *(("data/1.parquet", damage) for damage in ("cut", "text", "middle", "empty", "other")),
        ("metadata/codes.parquet", "cut"),
        ("metadata/codes.parquet", "middle"),
        ("metadata/codes.parquet", "other"),
        ("metadata/subject_splits.parquet", "cut"),
        ("metadata/subject_splits.parquet", "other"),
        ("labels/death.parquet", "text"),
        ("labels/death.parquet", "other"),
    ],
)
def test_a_damaged_file_is_named_and_nothing_is_left(
    source: Path, import_meds: Any, write: Any, name: str, damage: str
) -> None:
    import_meds(source, "made")
    for part in ("metadata/codes.parquet", "metadata/subject_splits.parquet"):
        (source / part).parent.mkdir(exist_ok=True)
        (source / part).write_bytes((source.parent / "made" / part).read_bytes())
    times = pa.array([START] * 6, pa.timestamp("us"))
    write(
        source / "labels" / "death.parquet",
        subject_id=pa.array(range(1, 7)), prediction_time=times, boolean_value=[True, False] * 3,
    )  # fmt: skip
    file = source / name
    content = file.read_bytes()
    if damage == "other":
        write(file, secret=["secret"])
    else:
        middle = content[:8] + b"\xff" * 40 + content[48:]
        damaged = {"cut": content[:-9], "text": b"secret", "middle": middle, "empty": b""}
        file.write_bytes(damaged[damage])
    with pytest.raises(DataError) as caught:
        import_meds(source)
    assert file.name in str(caught.value)
    assert str(caught.value).count("secret") <= 0
    assert sorted(entry.name for entry in source.parent.iterdir()) == ["made", "source"]


def test_an_import_again_leaves_out_who_has_withdrawn(
    source: Path, site: Any, import_meds: Any, write: Any
) -> None:
    """And an erasure leaves what an import without them would have made."""
    from fedehr_client.erasure.place import find_places
    from fedehr_client.erasure.site import SiteErasure

    times = pa.array([START] * 6, pa.timestamp("us"))
    write(
        source / "labels" / "death.parquet",
        subject_id=pa.array(range(1, 7)), prediction_time=times, boolean_value=[True, False] * 3,
    )  # fmt: skip
    gone = [2, 4, 6]  # all with SEX//F
    import_meds(source)
    (place,) = find_places(site.path, None)
    SiteErasure(place, lambda _: None).erase(frozenset(gone))
    for file in [*(source / "data").iterdir(), source / "labels" / "death.parquet"]:
        table = pq.read_table(file)
        stays = pc.invert(pc.is_in(table.column("subject_id"), pa.array(gone)))
        pq.write_table(table.filter(stays), source.parent / file.name)
    import_meds(source, replace=True)
    after_reimport = {f.name: pq.read_table(f) for f in site.path.rglob("*.parquet")}
    assert set(read_splits(site)) == {1, 3, 5}
    assert "SEX//F" not in _codes(site)
    assert place.audit.verify().num_lines == 1
    for name in ("0.parquet", "1.parquet"):
        (source.parent / name).rename(source / "data" / name)
    (source.parent / "death.parquet").rename(source / "labels" / "death.parquet")
    import_meds(source, "without")
    without = source.parent / "without"
    assert {f.name: pq.read_table(f) for f in without.rglob("*.parquet")} == after_reimport


def test_an_erasure_leaves_what_an_import_without_them_makes(
    source: Path, site: Any, import_meds: Any
) -> None:
    from fedehr_client.erasure.place import find_places
    from fedehr_client.erasure.site import SiteErasure

    import_meds(source)
    (place,) = find_places(site.path, None)
    SiteErasure(place, lambda _: None).erase(frozenset([2, 4, 6]))
    for file in (source / "data").iterdir():
        table = pq.read_table(file)
        odd = pc.equal(pc.bit_wise_and(table.column("subject_id"), 1), 1)
        pq.write_table(table.filter(odd), file)
    import_meds(source, "without")
    for file in (source.parent / "without").rglob("*.parquet"):
        name = file.relative_to(source.parent / "without")
        assert pq.read_table(site.path / name) == pq.read_table(file), name
