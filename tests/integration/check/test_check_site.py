"""What `check` finds in a good site and in damaged ones."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

MIN_CELL = 5


def _verdicts(report: Any) -> dict[str, str]:
    return {finding.name: finding.verdict.value for finding in report.findings}


def _failed(report: Any) -> set[str]:
    return {finding.name for finding in report.failed}


def test_a_synthetic_hospital_is_ready(site: Any, check: Callable[..., Any]) -> None:
    report = check(site)

    assert report.ready, [finding.text for finding in report.failed]
    found = _verdicts(report)
    assert found["training_step"] == "ok"
    assert {"pretraining_round", "finetuning_round", "labels.death", "one_shard"} <= set(found)
    table = pq.read_table(site.data_files[0])
    step = next(f for f in report.findings if f.name == "training_step")
    assert 0 < step.figures["num_tokens"] <= table.num_rows
    assert np.isfinite(step.figures["loss"])
    # The first step's loss is near a blind guess, which the code frequencies beat.
    assert step.figures["code_entropy"] < step.figures["log_vocabulary"]
    assert abs(step.figures["loss"] - step.figures["log_vocabulary"]) < 0.5
    assert "the code frequencies alone" in step.text
    memory = next(f for f in report.findings if f.name == "memory")
    assert memory.figures["bytes"] > 1_000_000


def _reversed(table: pa.Table) -> pa.Table:
    return table.take(pa.array(np.arange(table.num_rows)[::-1]))


def _shuffled(table: pa.Table) -> pa.Table:
    return table.take(pa.array(np.random.default_rng(0).permutation(table.num_rows)))


def _with(table: pa.Table, name: str, values: Any) -> pa.Table:
    place = table.column_names.index(name)
    field = table.schema.field(place)
    return table.set_column(place, field.with_nullable(True), pa.array(values, field.type))


def test_events_out_of_order_are_found(
    site: Any, check: Callable[..., Any], rewrite: Callable[..., None]
) -> None:
    rewrite(site.data_files[0], _reversed)
    assert {"sorted"} <= _failed(check(site))
    rewrite(site.data_files[0], _shuffled)
    assert {"sorted", "contiguous"} <= _failed(check(site))


def test_order_is_judged_across_batches_and_only_within_a_subject(
    site: Any, check: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from fedehr_client.check import layout

    whole = layout.scan_layout(site)
    for size in (1, 7, 64):
        monkeypatch.setattr(layout, "_BATCH_ROWS", size)
        pq.write_table(pq.read_table(site.data_files[0]).slice(0, 2_000), site.data_files[0])
        small = layout.scan_layout(site)
        assert (small.num_unsorted, small.num_scattered, small.num_in_two_shards) == (0, 0, 0)
        assert small.num_subjects <= whole.num_subjects
        table = pq.read_table(site.data_files[0])
        assert small.num_subjects == pc.count_distinct(table.column("subject_id")).as_py()


def test_a_subject_in_two_shards_is_found(site: Any, check: Callable[..., Any]) -> None:
    shutil.copy(site.data_files[0], site.path / "data" / "99999.parquet")
    assert _failed(check(site)) == {"one_shard"}


def test_a_code_without_an_entry_is_found(
    site: Any, check: Callable[..., Any], rewrite: Callable[..., None]
) -> None:
    rewrite(site.codes_file, lambda table: table.slice(3))
    assert "code_coverage" in _failed(check(site))


def test_a_subject_in_two_splits_or_in_none_is_found(
    site: Any, check: Callable[..., Any], rewrite: Callable[..., None]
) -> None:
    def double(table: pa.Table) -> pa.Table:
        other = ["held_out" if s == "train" else "train" for s in table["split"].to_pylist()]
        return pa.concat_tables([table, _with(table, "split", other).cast(table.schema)])

    splits = pq.read_table(site.splits_file)
    rewrite(site.splits_file, double)
    assert "one_split" in _failed(check(site))
    pq.write_table(splits.slice(20), site.splits_file)
    assert "has_split" in _failed(check(site))
    pq.write_table(_with(splits, "split", ["test"] * splits.num_rows), site.splits_file)
    assert {"known_splits", "training_subjects"} <= _failed(check(site))


def test_impossible_dates_are_found(
    site: Any, check: Callable[..., Any], rewrite: Callable[..., None]
) -> None:
    def early(table: pa.Table) -> pa.Table:
        """The first timed event after the birth of every subject moves to 1800."""
        codes, subjects = table["code"].to_pylist(), table["subject_id"].to_pylist()
        times = table["time"].cast(pa.int64()).to_pylist()
        moved: set[int] = set()
        for row, subject in enumerate(subjects):
            if times[row] is not None and subject not in moved and codes[row] != "MEDS_BIRTH":
                times[row] = -5_364_662_400_000_000
                moved.add(subject)
        changed = _with(table, "time", pa.array(times, pa.int64()).cast(pa.timestamp("us")))
        return changed.sort_by([("subject_id", "ascending"), ("time", "ascending")])

    assert _verdicts(check(site))["before_birth"] == "ok"
    rewrite(site.data_files[0], early)
    assert _verdicts(check(site))["before_birth"] in {"warning", "failed"}


def test_few_subjects_with_a_fault_are_not_counted(
    site: Any, check: Callable[..., Any], rewrite: Callable[..., None]
) -> None:
    subject = pq.read_table(site.splits_file)["subject_id"][0].as_py()
    rewrite(site.splits_file, lambda t: t.filter(pc.not_equal(t["subject_id"], subject)))
    finding = next(f for f in check(site).findings if f.name == "has_split")
    assert finding.figures["num_subjects"] is None
    assert f"fewer than {MIN_CELL}" in finding.text


def test_an_erasure_that_did_not_end_is_found(site: Any, check: Callable[..., Any]) -> None:
    (site.path / "metadata" / "erasing.json").write_text("{}")
    assert _failed(check(site)) == {"erasure"}


def test_missing_and_foreign_files_are_said(site: Any, check: Callable[..., Any]) -> None:
    site.splits_file.unlink()
    assert _failed(check(site)) == {"schema"}
    (site.path / "data" / "0.parquet").write_bytes(b"not parquet")
    assert _failed(check(site)) == {"schema"}
    shutil.rmtree(site.path / "data")
    assert _failed(check(site)) == {"schema"}


def test_a_truncated_shard_names_its_file(site: Any, check: Callable[..., Any]) -> None:
    """The footer may be whole while a page in the middle is not."""
    from fedehr_shared.errors import DataError

    file = site.data_files[0]
    content = bytearray(file.read_bytes())
    content[4:20_000] = bytes(19_996)
    file.write_bytes(content)
    with pytest.raises(DataError, match=file.name):
        check(site)


def test_a_study_whose_task_is_missing_or_whose_codes_are_foreign_fails(
    site: Any, check: Callable[..., Any], make_study: Callable[..., Any]
) -> None:
    from fedehr_shared.vocabulary.vocabulary import Vocabulary

    # A site takes part with the tasks that it has, but not with none, nor with other kinds.
    study = make_study(finetuning={"tasks": ["death", "sepsis"]})
    assert _verdicts(check(site, study=study))["labels.sepsis"] == "warning"
    kinds = {"death": {"kind": "regression"}}
    study = make_study(finetuning={"tasks": ["death", "sepsis"]}, tasks=kinds)
    assert _failed(check(site, study=study)) == {"labels.death"}
    study = make_study(finetuning={"tasks": ["sepsis"]})
    assert _failed(check(site, study=study)) == {"labels.sepsis"}
    foreign = Vocabulary(("ELSEWHERE//1",), (None,))
    report = check(site, study=make_study(), vocabulary=foreign)
    shares = next(s for s in report.sections if s.title == "Codes").tables[
        "Known to the vocabulary"
    ]
    assert shares.set_index("step")["share of events"]["exact"] == 0


def test_a_withheld_share_of_codes_is_not_what_the_others_leave(
    site: Any, check: Callable[..., Any], rewrite: Callable[..., None]
) -> None:
    from fedehr_shared.vocabulary.vocabulary import Vocabulary

    known = pq.read_table(site.codes_file)["code"].to_pylist()

    def rare(table: pa.Table) -> pa.Table:
        codes = table["code"].to_pylist()
        return _with(table, "code", ["RARE//1", *codes[1:]])

    rewrite(site.data_files[0], rare)
    table = pq.read_table(site.codes_file)
    row = _with(table.slice(0, 1), "code", ["RARE//1"]).cast(table.schema)
    pq.write_table(pa.concat_tables([table, row]), site.codes_file)
    vocabulary = Vocabulary(tuple(known), (None,) * len(known))
    report = check(site, vocabulary=vocabulary)
    codes = next(s for s in report.sections if s.title == "Codes")
    shares = codes.tables["Known to the vocabulary"].set_index("step")["share of events"]
    assert shares[["exact", "unknown"]].isna().all()


def test_a_study_that_asks_for_smaller_cells_fails(
    site: Any, check: Callable[..., Any], make_study: Callable[..., Any]
) -> None:
    study = make_study(vocabulary={"min_cell": MIN_CELL - 1})
    assert _failed(check(site, study=study)) == {"min_cell"}


def test_a_study_is_judged_within_its_cohort(
    site: Any, check: Callable[..., Any], make_study: Callable[..., Any]
) -> None:
    nobody = make_study(cohort={"min_age_years": 119, "max_age_years": 120})
    assert _failed(check(site, study=nobody)) == {"labels.death", "labels.long_stay"}


def test_labels_of_every_kind_are_counted_and_tested_for_leaks(
    site: Any, check: Callable[..., Any]
) -> None:
    labels = pq.read_table(site.labels_file("death"))
    kinds = pa.array(["a", "b"] * labels.num_rows, pa.string()).slice(0, labels.num_rows)
    other = labels.drop_columns(["boolean_value"]).append_column("categorical_value", kinds)
    pq.write_table(other, site.path / "labels" / "kind_of_stay.parquet")
    report = check(site)
    assert report.ready
    for task in ("kind_of_stay", "severity_class", "stay_days", "death_time"):
        assert _verdicts(report)[f"leakage.{task}"] == "ok"
        assert _verdicts(report)[f"labels.{task}"] in {"ok", "warning"}


def test_codes_that_are_all_rare_fail(
    site: Any, check: Callable[..., Any], rewrite: Callable[..., None]
) -> None:
    def private(table: pa.Table) -> pa.Table:
        subjects = table["subject_id"].to_pylist()
        return _with(table, "code", [f"OWN//{subject}" for subject in subjects])

    rewrite(site.data_files[0], private)
    codes = sorted(set(pq.read_table(site.data_files[0])["code"].to_pylist()))
    pq.write_table(pa.table({"code": codes}), site.codes_file)
    shutil.rmtree(site.path / "labels")
    assert _failed(check(site)) == {"training_step"}


def _subject_counts(value: Any, name: str = "") -> Iterator[int | None]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _subject_counts(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from _subject_counts(inner, name)
    elif name in {"subjects", "num_subjects", "positive", "num_training", "values"}:
        yield value


def test_no_count_of_subjects_is_below_the_cell(site: Any, check: Callable[..., Any]) -> None:
    for min_cell in (5, 23):
        content = json.loads(json.dumps(check(site, min_cell=min_cell).to_dict()))
        counts = list(_subject_counts(content))
        assert len(counts) > 30
        assert all(count is None or count % min_cell == 0 for count in counts), counts


def test_the_page_loads_nothing_and_escapes_what_records_say(
    site: Any, check: Callable[..., Any], rewrite: Callable[..., None]
) -> None:
    from fedehr_client.check.html import render_html

    def nasty(table: pa.Table) -> pa.Table:
        return _with(table, "description", ["<script>alert(1)</script>"] * table.num_rows)

    rewrite(site.codes_file, nasty)
    page = render_html(check(site))
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "http" not in page.replace("http-equiv", "")
    assert page.count("<svg") == 1
    assert '<td class="number">' in page


def test_nothing_at_the_site_changes(site: Any, check: Callable[..., Any]) -> None:
    def state() -> dict[Path, tuple[int, int]]:
        files = [f for f in site.path.rglob("*") if f.is_file()]
        return {f: (f.stat().st_size, f.stat().st_mtime_ns) for f in files}

    before = state()
    assert check(site).ready
    assert state() == before
