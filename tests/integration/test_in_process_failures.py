"""Sites that cannot take part: a clear class, its exit code, and a result in every ending."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fedehr_shared.errors import (
    DataError,
    MissingTaskError,
    PolicyError,
    TooFewSubjectsError,
    TrainingError,
)
from fedehr_shared.wire.codec.record import decode, encode


def _result(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "run" / "result.json").read_text())
    return content


def _events(folder: Path, kind: str) -> list[dict[str, Any]]:
    lines = (folder / "run" / "progress.jsonl").read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == kind]


def test_a_task_that_no_site_has_ends_the_study(
    make_study: Any, hospitals: Any, run_study_in_process: Any, tmp_path: Path
) -> None:
    study = make_study(finetuning={"tasks": ["sepsis"]})
    with pytest.raises(MissingTaskError):
        run_study_in_process(study, hospitals.sites, tmp_path)
    result = _result(tmp_path)
    assert (result["status"], result["code"], result["exit_code"]) == ("failed", "missing_task", 4)
    # Told before any training, and asked once.
    assert {e["phase"] for e in _events(tmp_path, "site_error")} == {"vocabulary"}
    assert len(_events(tmp_path, "site_error")) == 3


def test_a_site_without_any_task_is_left_out_and_the_rest_goes_on(
    make_study: Any, copied_hospitals: Any, run_study_in_process: Any, tmp_path: Path
) -> None:
    for task in make_study().finetuning.tasks:
        copied_hospitals.sites[2].labels_file(task).unlink()
    done = run_study_in_process(make_study(), copied_hospitals.sites, tmp_path)
    assert done.result["sites"] == ["hospital-1", "hospital-2"]
    assert [e["code"] for e in _events(tmp_path, "site_error")] == ["missing_task"]
    assert not any(m.node == 2 and m.phase != "vocabulary" for m in done.messages)


def test_a_floor_above_the_study_ends_it(
    make_study: Any, hospitals: Any, run_study_in_process: Any, tmp_path: Path
) -> None:
    with pytest.raises(PolicyError):
        run_study_in_process(make_study(), hospitals.sites, tmp_path, min_cell=11)
    result = _result(tmp_path)
    assert (result["code"], result["exit_code"]) == ("policy", 6)
    assert not (tmp_path / "work").exists()


def test_an_empty_site_is_left_out(
    make_study: Any, copied_hospitals: Any, run_study_in_process: Any, tmp_path: Path
) -> None:
    site = copied_hospitals.sites[1]
    table = pq.read_table(site.data_files[0])
    pq.write_table(table.slice(0, 0), site.data_files[0])
    done = run_study_in_process(make_study(), copied_hospitals.sites, tmp_path)
    assert done.result["sites"] == ["hospital-1", "hospital-3"]
    assert [e["code"] for e in _events(tmp_path, "site_error")] == ["data"]


def test_sites_without_data_files_end_the_study_as_data(
    make_study: Any, copied_hospitals: Any, run_study_in_process: Any, tmp_path: Path
) -> None:
    for site in copied_hospitals.sites:
        site.data_files[0].unlink()
    with pytest.raises(DataError):
        run_study_in_process(make_study(), copied_hospitals.sites, tmp_path)
    assert _result(tmp_path)["exit_code"] == 4


def _rename_codes(site: Any, name: Any, description: str | None = None) -> None:
    table = pq.read_table(site.data_files[0])
    codes, subjects = table.column("code").to_pylist(), table.column("subject_id").to_pylist()
    renamed = [c if c == "MEDS_BIRTH" else name(c, s) for c, s in zip(codes, subjects, strict=True)]
    column = pa.array(renamed, pa.string())
    place = table.column_names.index("code")
    pq.write_table(table.set_column(place, table.schema.field("code"), column), site.data_files[0])
    known = pq.read_table(site.codes_file)
    rows = [{"code": code, "description": description} for code in sorted(set(renamed))]
    pq.write_table(pa.Table.from_pylist(rows, schema=known.schema), site.codes_file)


def test_sites_whose_every_code_is_rare_cannot_take_part(
    make_study: Any, copied_hospitals: Any, run_study_in_process: Any, tmp_path: Path
) -> None:
    for site in copied_hospitals.sites:
        _rename_codes(site, lambda code, subject: f"{code}//{subject}")
    with pytest.raises(TooFewSubjectsError):
        run_study_in_process(make_study(), copied_hospitals.sites, tmp_path)
    assert (_result(tmp_path)["code"], _result(tmp_path)["exit_code"]) == ("too_few_subjects", 4)


def test_codes_that_no_two_sites_share_make_no_vocabulary(
    make_study: Any, copied_hospitals: Any, run_study_in_process: Any, tmp_path: Path
) -> None:
    for site in copied_hospitals.sites:
        _rename_codes(site, lambda code, _, name=site.name: f"{name}//{code}")
    with pytest.raises(TooFewSubjectsError, match="min_sites"):
        run_study_in_process(make_study(), copied_hospitals.sites, tmp_path)
    assert _result(tmp_path)["exit_code"] == 4


@pytest.mark.parametrize("step", ["unknown", "bucket"])
def test_a_site_whose_codes_nobody_else_has_is_told_or_learns_from_their_buckets(
    make_study: Any,
    copied_hospitals: Any,
    run_study_in_process: Any,
    tmp_path: Path,
    step: str,
) -> None:
    """All its events become [UNK], of which nothing can be hidden, or one bucket."""
    _rename_codes(
        copied_hospitals.sites[2],
        lambda code, _: f"OWN//{code}",
        "Own" if step == "bucket" else None,
    )
    done = run_study_in_process(make_study(), copied_hospitals.sites, tmp_path)
    if step == "unknown":
        assert done.result["sites"] == ["hospital-1", "hospital-2"]
        assert [e["code"] for e in _events(tmp_path, "site_error")] == ["too_few_subjects"]
        return
    assert done.result["sites"] == ["hospital-1", "hospital-2", "hospital-3"]
    assert _events(tmp_path, "site_error") == []
    shares = next(
        m.payload.values["metrics"]
        for m in done.messages
        if (m.direction, m.phase, m.node) == ("up", "pretraining", 2)
    )
    assert shares[f"back_off.{step}"] == 1.0


def test_a_model_that_explodes_ends_as_training_and_sends_no_update(
    make_study: Any, hospitals: Any, run_study_in_process: Any, new_run: Any, tmp_path: Path
) -> None:
    # A site answers the first round with the largest update that is accepted.
    def blow_up(sent: Any) -> list[Any]:
        if (sent.phase, sent.round) == ("pretraining", 1):
            update = decode(sent.payload.tensors["update"])
            largest = {name: np.full_like(value, 2.0**18) for name, value in update.items()}
            sent.payload.tensors["update"] = encode(largest, "fp16")
        return [sent.payload]

    sections = {"learning_rate": 1.0, "max_grad_norm": 1e12, "optimizer_state": "fresh"}
    study = make_study(
        model={"layers": 12}, pretraining={**sections, "rounds": 3, "steps_per_round": 4}
    )
    done = new_run(tmp_path / "run", tmp_path / "work")
    with pytest.raises(TrainingError):
        run_study_in_process(study, hospitals.sites, tmp_path, alter=blow_up, into=done)
    later = [
        m for m in done.messages if (m.phase, m.round, m.direction) == ("pretraining", 2, "up")
    ]
    assert len(later) == 3
    assert all(m.payload.tensors == {} for m in later)
    result = _result(tmp_path)
    assert (result["code"], result["exit_code"]) == ("training", 1)
    assert {e["code"] for e in _events(tmp_path, "site_error")} == {"training"}


def test_damaged_stores_end_the_study_as_data(
    make_study: Any, hospitals: Any, run_study_in_process: Any, tmp_path: Path
) -> None:
    def damage(sent: Any) -> list[Any]:
        if (sent.phase, sent.round) == ("pretraining", 1):
            for file in (tmp_path / "work").glob("*/tokens/offsets.npy"):
                file.write_bytes(b"")
        return [sent.payload]

    with pytest.raises(DataError):
        run_study_in_process(make_study(), hospitals.sites, tmp_path, alter=damage)
    assert _result(tmp_path)["code"] == "data"


def test_records_imported_again_between_rounds_are_read_again(
    make_study: Any, copied_hospitals: Any, run_study_in_process: Any, tmp_path: Path
) -> None:
    sizes: list[int] = []

    def import_again(sent: Any) -> list[Any]:
        if (sent.phase, sent.node, sent.direction) == ("pretraining", 0, "up"):
            sizes.append(sent.payload.integer("report", "num_examples"))
            site = copied_hospitals.sites[0]
            table = pq.read_table(site.data_files[0])
            subjects = table.column("subject_id").to_numpy()
            kept = np.isin(subjects, np.unique(subjects)[: len(np.unique(subjects)) // 2])
            pq.write_table(table.filter(kept), site.data_files[0])
        return [sent.payload]

    run_study_in_process(make_study(), copied_hospitals.sites, tmp_path, alter=import_again)
    assert sizes[1] < sizes[0] * 0.6
