"""`fedehr-sim probe` over a finished study: as a program, and with held-out labels turned."""

import json
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from fedehr_shared.errors import CheckpointError, MissingTaskError, UsageError
from fedehr_shared.meds.reader import read_splits
from fedehr_shared.meds.schema import HELD_OUT
from fedehr_simulations.probe.probe import probe_runs
from fedehr_simulations.probe.record import ProbeRecord
from fedehr_simulations.probe.request import ProbeRequest

PROGRAM = [sys.executable, "-c", "from fedehr_simulations.cli.main import run; run()", "probe"]


def _probe(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [*PROGRAM, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _silent(_step: str) -> None:
    pass


def test_the_program_tells_json_alone_and_writes_private_files(
    hospitals: Any, finished_study: Any, tmp_path: Path
) -> None:
    out = tmp_path / "probe"
    arguments = (
        finished_study.folder,
        "--sites",
        hospitals.path,
        "--out",
        out,
        "--labels",
        "32,all",
    )
    ended = _probe(*arguments, "--json")
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    paths = told.pop("paths")
    record = ProbeRecord.model_validate(told)
    assert record == ProbeRecord.model_validate_json(Path(paths["record"]).read_text())
    assert [(one.task, one.num_labels) for one in record.worth] == [
        ("death", 32), ("death", None), ("long_stay", 32), ("long_stay", None),
    ]  # fmt: skip
    (candidate,) = record.candidates
    assert candidate.checkpoint == "pretraining-0002"
    assert candidate.masked_loss is not None
    assert len(record.in_words) == 5
    assert stat.S_IMODE(out.stat().st_mode) == 0o700
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in out.iterdir())
    assert sorted(file.name for file in tmp_path.iterdir()) == ["probe"]
    assert "encoding site" in ended.stderr
    again = _probe(*arguments)
    assert again.returncode == 4
    assert "exists already" in again.stderr


def test_held_out_labels_choose_nothing(
    copied_hospitals: Any, finished_study: Any, tmp_path: Path
) -> None:
    request = ProbeRequest(
        (finished_study.folder,),
        copied_hospitals.path,
        poolings=("mean", "sum"),
        label_numbers=(None,),
        all_checkpoints=True,
    )
    before = probe_runs(request, tmp_path / "before", _silent).record
    assert len(before.candidates) == 8
    assert {one.checkpoint.partition("-")[0] for one in before.candidates} == {
        "pretraining", "finetuning",
    }  # fmt: skip
    for site in copied_hospitals.sites:
        _turn_held_out_labels(site)
    after = probe_runs(request, tmp_path / "after", _silent).record
    assert after.chosen == before.chosen
    assert after.candidates == before.candidates
    for one, other in zip(before.worth, after.worth, strict=True):
        for figure in ("trained", "untrained", "bag"):
            first, second = getattr(one, figure).value, getattr(other, figure).value
            assert second == pytest.approx(1 - first)


def _turn_held_out_labels(site: Any) -> None:
    splits = read_splits(site)
    for task in ("death", "long_stay"):
        table = pq.read_table(site.labels_file(task))
        ids = table["subject_id"].to_pylist()
        is_held_out = pa.array([splits[subject] == HELD_OUT for subject in ids])
        place = table.schema.get_field_index("boolean_value")
        turned = pc.xor(table["boolean_value"], is_held_out)
        changed = table.set_column(place, table.schema.field(place), turned)
        pq.write_table(changed, site.labels_file(task))


def test_wrong_requests_are_refused_by_name(
    hospitals: Any, copied_hospitals: Any, finished_study: Any, tmp_path: Path
) -> None:
    def refused(error: type[Exception], words: str, *runs: Path, **changes: Any) -> None:
        request = ProbeRequest(runs, **{"federation": hospitals.path, **changes})
        with pytest.raises(error, match=words):
            probe_runs(request, tmp_path / "work", _silent)

    run = finished_study.folder
    refused(CheckpointError, r"study\.json", tmp_path / "nowhere")
    refused(UsageError, "named twice", run, run)
    refused(UsageError, "attention has weights", run, poolings=("attention",))
    refused(UsageError, "Choose of mean, sum", run, poolings=("median",))
    untrained = tmp_path / "untrained"
    untrained.mkdir()
    for name in ("study.json", "vocabulary.json"):
        shutil.copy(run / name, untrained)
    refused(CheckpointError, "holds no checkpoint", untrained)
    for site in copied_hospitals.sites:
        site.labels_file("death").unlink()
    refused(MissingTaskError, "no site has labels for task 'death'", run,
            federation=copied_hospitals.path)  # fmt: skip
    other = tmp_path / "other"
    shutil.copytree(run, other)
    text = (other / "study.json").read_text()
    changed = re.sub(r'"min_age_years": ?0(\.0)?', '"min_age_years": 40', text)
    assert changed != text
    (other / "study.json").write_text(changed)
    refused(UsageError, r"differ in \[cohort\]", run, other)
