"""`fedehr-client erase`: what is gone, what stays, and what nobody gets to read."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from fedehr_client.audit.log import Audit
from fedehr_client.erasure.caches import find_caches
from fedehr_shared.config.task import TaskConfig
from fedehr_shared.meds.reader import read_labels, read_splits
from fedehr_shared.meds.withdrawn import read_withdrawn, withdrawn_file
from fedehr_shared.processes import ProcessFamily
from fedehr_simulations.hospitals.further_outcomes import FURTHER_TASKS

Erase = Callable[..., subprocess.CompletedProcess[str]]
RARE = 7_310_123_456_789_012_345
"""A subject that nobody is."""


def _places_of(subjects: Any, *folders: Path) -> list[str]:
    """Files that hold one of the subjects: in a decoded column, an array, or as text."""
    ids = [int(subject) for subject in subjects]
    as_bytes = [subject.to_bytes(8, "little", signed=True) for subject in ids]
    as_text = re.compile("|".join(map(str, ids)))
    found = []
    for file in (file for folder in folders for file in folder.rglob("*") if file.is_file()):
        content = file.read_bytes()
        if file.suffix == ".parquet":
            columns = pq.read_table(file).combine_chunks().columns
            content += b"".join(
                chunk.cast(pa.int64()).to_numpy(zero_copy_only=False).tobytes()
                for column in columns
                for chunk in column.chunks
                if pa.types.is_integer(column.type)
            )
        if any(each in content for each in as_bytes) or as_text.search(content.decode("latin-1")):
            found.append(str(file))
    return found


def _without(table: pa.Table, subjects: Any) -> pa.Table:
    return table.filter(pc.invert(pc.is_in(table.column("subject_id"), pa.array(subjects))))


def _iso(time: datetime) -> str:
    """As an import writes it."""
    return time.isoformat(timespec="microseconds")


def test_nothing_is_left_of_them_and_everything_of_the_others(
    site: Any, work: Path, subjects_of: Any, erase: Erase, contents: Any
) -> None:
    gone = subjects_of(site)[[0, 3, 40, 41, 281]]
    assert len(_places_of(gone, site.path, work)) > 8  # the search finds them
    before = contents(site.path)
    done = erase(site.path, "--work", work, "--yes", "--json", subjects=gone)

    assert _places_of(gone, site.path, work) == []
    after = contents(site.path)
    changed = {name for name in before if name not in after or before[name] != after[name]}
    for name in changed - {"metadata/codes.parquet"}:
        left = _without(before[name], gone)
        assert left.num_rows < before[name].num_rows
        assert left == after[name] if left.num_rows else name not in after
    assert 1 <= sum(name.startswith("data/") for name in changed) <= 4  # of twelve
    assert sorted(work.iterdir()) == [
        work / ".tokens-x1", work / "audit.head", work / "audit.jsonl", work / "ledger",
        work / "vocabulary.json",
    ]  # fmt: skip
    assert list((work / ".tokens-x1").iterdir()) == []

    counts = json.loads(done.stdout)["sites"][0]
    events = [name for name in before if name.startswith("data/")]
    num_events = sum(before[name].num_rows - len(_without(before[name], gone)) for name in events)
    assert (counts["num_found"], counts["num_events"]) == (5, num_events)
    assert set(read_splits(site)) == set(subjects_of(site).tolist())
    for task in site.tasks:
        read_labels(site, task, FURTHER_TASKS.get(task, TaskConfig()))


def test_an_untouched_shard_is_not_written_again(site: Any, subjects_of: Any, erase: Erase) -> None:
    before = {file: file.stat() for file in site.data_files}
    gone = subjects_of(site)[:1]
    erase(site.path, "--yes", subjects=gone)
    same = [file for file in site.data_files if file.stat().st_ino == before[file].st_ino]
    assert len(same) == 11
    assert all(file.stat().st_mtime_ns == before[file].st_mtime_ns for file in same)


def test_codes_that_nobody_has_any_more_go_and_ancestors_stay(
    site: Any, subjects_of: Any, erase: Erase
) -> None:
    first, second = site.data_files[:2]
    table = pq.read_table(first)
    gone = table.column("subject_id")[0].as_py()
    is_gone = pc.equal(table.column("subject_id"), gone)
    codes = pc.if_else(is_gone, "RARE//child", table.column("code"))
    pq.write_table(table.set_column(2, table.schema.field("code"), codes), first)
    book = pq.read_table(site.codes_file)
    used = pq.read_table(second).column("code")[0].as_py()
    more = pa.table(
        {
            "code": ["RARE//child", "RARE", "ROOT"],
            "description": [None] * 3,
            "parent_codes": [["RARE"], ["ROOT"], None],
            "delay_hours": [None] * 3,
        },
        schema=book.schema,
    )
    book = book.set_column(
        2,
        book.schema.field("parent_codes"),
        pa.array([["ROOT"] if code == used else None for code in book.column("code").to_pylist()]),
    )
    pq.write_table(pa.concat_tables([book, more]), site.codes_file)
    erase(site.path, "--yes", subjects=[gone])
    kept = set(pq.read_table(site.codes_file).column("code").to_pylist())
    assert not kept & {"RARE//child", "RARE"}
    events = {c for f in site.data_files for c in pq.read_table(f).column("code").to_pylist()}
    assert kept == events | {"ROOT"}


def test_the_last_events_time_goes_with_its_subject(
    site: Any, subjects_of: Any, erase: Erase
) -> None:
    times = pa.concat_tables(pq.read_table(file) for file in site.data_files)
    last = max(times.column("time").drop_null().to_pylist())
    gone = times.filter(pc.equal(times.column("time"), pa.scalar(last)))
    gone_ids = gone.column("subject_id").unique().to_pylist()
    file = site.path / "metadata" / "import.json"
    file.write_text(json.dumps({"format": 1, "end_time": _iso(last), "source": "csv"}))
    erase(site.path, "--yes", subjects=gone_ids)
    said = json.loads(file.read_text())
    left = _without(times, gone_ids).column("time").drop_null()
    assert said["end_time"] == _iso(max(left.to_pylist())) < _iso(last)
    assert said["source"] == "csv"


def test_the_audit_says_so_without_naming_anybody(
    site: Any, work: Path, subjects_of: Any, erase: Erase
) -> None:
    gone = subjects_of(site)[:3]
    erase(site.path, "--work", work, "--yes", subjects=gone)
    erase(site.path, "--work", work, "--yes", subjects=[RARE])
    lines = [json.loads(line) for line in (work / "audit.jsonl").read_text().splitlines()]
    assert [(line["event"], line["num_subjects"], line["num_found"]) for line in lines] == [
        ("erase", 3, 3), ("erase", 1, 0)
    ]  # fmt: skip
    assert lines[0]["num_caches"] == 4
    assert Audit(work / "audit.jsonl").verify().num_lines == 2


def test_unknown_subjects_are_counted_and_recorded(
    site: Any, subjects_of: Any, erase: Erase
) -> None:
    known, unknown = subjects_of(site)[0], -(2**63)
    done = erase(site.path, "--yes", "--json", subjects=[known, unknown, unknown])
    said = json.loads(done.stdout)
    assert (said["num_subjects"], said["num_unknown"], said["num_recorded"]) == (2, 1, 0)
    withdrawn = read_withdrawn(site)
    assert known in withdrawn
    assert unknown in withdrawn
    assert len(withdrawn) == 2
    assert withdrawn_file(site).stat().st_mode & 0o077 == 0
    assert str(known) not in withdrawn_file(site).read_text()
    again = json.loads(erase(site.path, "--yes", "--json", subjects=[known, unknown]).stdout)
    assert (again["num_unknown"], again["num_recorded"]) == (0, 2)


def test_a_dry_run_and_a_no_change_nothing(
    site: Any, work: Path, subjects_of: Any, erase: Erase, contents: Any
) -> None:
    before = contents(site.path.parent)
    gone = subjects_of(site)[:2]
    done = erase(site.path, "--work", work, "--dry-run", "--json", subjects=gone)
    assert json.loads(done.stdout)["sites"][0]["num_found"] == 2
    assert json.loads(done.stdout)["sites"][0]["num_caches"] == 4
    listed = site.path.parent / "leaving.txt"
    listed.write_text(f"\ufeffsubject_id\r\n# two of them\r\n{gone[0]}\r\n\r\n{gone[1]}\r\n")
    erase(site.path, "--from", listed, expect=1)  # asked, standard input is at its end
    listed.unlink()
    assert contents(site.path.parent) == before


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("7310000000000000001x", "line 2"),
        ("9223372036854775808", "line 2"),
        ("\u0663", "line 2"),
    ],
)
def test_a_wrong_line_is_numbered_not_repeated(
    site: Any, erase: Erase, line: str, says: str, contents: Any
) -> None:
    before = contents(site.path)
    done = erase(site.path, "--yes", subjects=[str(RARE), line], expect=2)
    assert says in done.stderr
    option = erase(site.path, "--yes", "--subject", line, expect=2)
    assert line not in option.stderr
    assert contents(site.path) == before


def test_a_whole_federation_folder(sites: Any, subjects_of: Any, erase: Erase) -> None:
    first, second, third = sites.sites
    gone = [subjects_of(first)[0], subjects_of(second)[-1]]
    erase(sites.path, "--work", sites.path.parent / "scratch", "--yes", subjects=gone)
    assert _places_of(gone, sites.path) == []
    for site in (first, second, third):
        assert set(gone) <= {s for s in gone if s in read_withdrawn(site)}
        assert Audit(sites.path.parent / "scratch" / site.name / "audit.jsonl").verify().num_lines
    assert len({read_withdrawn(site).key for site in sites.sites}) == 3


def test_the_site_file_names_records_and_work(
    site: Any, work: Path, subjects_of: Any, erase: Erase
) -> None:
    file = work.parent / "site.toml"
    file.write_text(
        '[site]\nname = "a"\nrecords = "records"\nwork = "work"\n[network]\n'
        'coordinator = "h:1"\nroot_certificates = "c"\nprivate_key = "k"\n'
    )
    gone = subjects_of(site)[:1]
    erase("--site-file", file, "--yes", subjects=gone)
    assert _places_of(gone, site.path, work) == []


def test_everybody_may_leave(site: Any, subjects_of: Any, erase: Erase, contents: Any) -> None:
    gone = subjects_of(site)
    erase(site.path, "--yes", subjects=gone)
    after = contents(site.path)
    assert not any(name.startswith("data/") for name in after)
    assert after["metadata/subject_splits.parquet"].num_rows == 0
    assert after["metadata/codes.parquet"].num_rows == 0
    assert all(after[f"labels/{task}.parquet"].num_rows == 0 for task in site.tasks)


def test_who_comes_back_is_erased_without_being_named(
    site: Any, subjects_of: Any, erase: Erase
) -> None:
    """As when a backup was put back, or an earlier version of a file."""
    gone = subjects_of(site)[:2]
    backup = site.path.parent / "backup"
    shutil.copytree(site.path / "data", backup)
    erase(site.path, "--yes", subjects=gone)
    shutil.rmtree(site.path / "data")
    backup.rename(site.path / "data")
    assert _places_of(gone, site.path)
    erase(site.path, "--yes")
    assert _places_of(gone, site.path) == []


def test_what_a_killed_import_left_beside_goes_too(
    site: Any, subjects_of: Any, erase: Erase
) -> None:
    gone = subjects_of(site)[:1]
    for name in (".records.partial", ".records.old", ".fedehr-scratch-x1"):
        shutil.copytree(site.path, site.path.parent / name)
    erase(site.path, "--yes", subjects=gone)
    assert _places_of(gone, site.path.parent) == []


@pytest.mark.parametrize("damage", ["cut", "text", "column", "kind"])
def test_a_damaged_file_is_named_and_the_erasure_goes_on_later(
    site: Any, subjects_of: Any, erase: Erase, damage: str, work: Path
) -> None:
    file = site.data_files[5]
    whole = file.read_bytes()
    table = pq.read_table(file)
    if damage == "cut":
        file.write_bytes(whole[:-200])
    elif damage == "text":
        file.write_text("secret")
    elif damage == "column":
        pq.write_table(table.drop_columns("subject_id"), file)
    else:
        texts = table.column("subject_id").cast(pa.string())
        pq.write_table(table.set_column(0, "subject_id", texts), file)
    gone = subjects_of(site)[:1]
    done = erase(site.path, "--work", work, "--yes", subjects=gone, expect=4)
    assert str(file) in done.stderr.replace("\n", "")
    file.write_bytes(whole)
    erase(site.path, "--work", work, "--yes", subjects=gone)
    assert _places_of(gone, site.path, work) == []


def test_refusals(site: Any, work: Path, erase: Erase, tmp_path: Path) -> None:
    assert "neither a site folder" in erase(tmp_path / "none", subjects=[RARE], expect=4).stderr
    assert "--site-file" in erase(subjects=[RARE], expect=2).stderr
    assert "nobody is named" in erase(site.path, "--yes", expect=2).stderr
    around = erase(site.path, "--work", site.path.parent, "--yes", subjects=[RARE], expect=2)
    assert "lie one within the other" in around.stderr
    assert "cannot read" in erase(site.path, "--from", tmp_path, expect=2).stderr
    assert np.load(work / "tokens" / "subject_ids.npy").size


def test_a_damaged_record_of_who_withdrew_stops_everything(
    site: Any, erase: Erase, contents: Any
) -> None:
    for text in ("", "[]", '{"format": 9, "key": "00", "subjects": []}', '{"format": 1}'):
        withdrawn_file(site).write_text(text)
        before = contents(site.path)
        assert "withdrawn.json" in erase(site.path, "--yes", subjects=[RARE], expect=4).stderr
        assert contents(site.path) == before


def test_it_asks_and_takes_no_for_an_answer(
    site: Any, subjects_of: Any, contents: Any, tmp_path: Path
) -> None:
    gone = int(subjects_of(site)[0])
    listed = tmp_path / "leaving.txt"
    listed.write_text(f"{gone}\n")
    command = [str(Path(sys.executable).with_name("fedehr-client")), "erase", str(site.path)]
    before = contents(site.path)

    def ask(*arguments: str, answer: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *arguments],
            input=answer, capture_output=True, text=True, check=False, start_new_session=True,
        )  # fmt: skip

    assert ask("--from", str(listed), answer="n\n").returncode == 1
    piped = ask("--from", "-", answer=f"{gone}\n")  # a session of its own has no terminal
    assert piped.returncode == 2
    assert "Add --yes" in piped.stderr
    assert contents(site.path) == before
    assert ask("--from", str(listed), answer="y\n").returncode == 0
    assert _places_of([gone], site.path) == []


def test_a_running_node_is_stopped_first(
    site: Any, work: Path, subjects_of: Any, erase: Erase
) -> None:
    file = work.parent / "site.toml"
    file.write_text(
        '[site]\nname = "a"\nrecords = "records"\nwork = "work"\n[network]\n'
        'coordinator = "h:1"\nroot_certificates = "c"\nprivate_key = "k"\n'
    )
    (work.parent / "state").mkdir()
    family = ProcessFamily(work.parent / "state" / "supernode.json")
    process = family.start(["sleep", "60"], dict(os.environ), work.parent / "log", {})
    try:
        refused = erase("--site-file", file, "--yes", subjects=subjects_of(site)[:1], expect=2)
    finally:
        process.kill()
        process.wait()
    assert "Stop it first" in refused.stderr
    assert find_caches(work)
    erase("--site-file", file, "--yes", subjects=subjects_of(site)[:1])
    assert find_caches(work) == []
