"""`fedehr-sim tune` as a program: a grid, adapters, noise, a kill in the middle, other answers."""

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import DataError, UsageError
from fedehr_shared.meds.folder import FederationFolder
from fedehr_shared.meds.folder_lock import try_lock_folder
from fedehr_shared.meds.reader import read_splits
from fedehr_shared.meds.schema import HELD_OUT
from fedehr_simulations.hospitals.folder import write_hospitals
from fedehr_simulations.hospitals.plan import HospitalsPlan
from fedehr_simulations.tuning_trials.trials import TrialsRequest, run_trials
from fedehr_simulations.tuning_trials.variants import read_tuning_variants

PROGRAM = Path(sys.executable).parent / "fedehr-sim"
STUDY = """
name = "tiny"
[vocabulary]
min_sites = 1
min_cell = 5
[model]
layers = 1
hidden = 16
heads = 2
[pretraining]
rounds = 1
steps_per_round = 2
steps_per_epoch = 4
[finetuning]
tasks = ["death", "long_stay"]
rounds = 2
steps_per_round = 2
steps_per_epoch = 4
[evaluation]
num_bootstraps = 100
"""
VARIANTS = """
[variants.full]
grid."finetuning.learning_rate" = [1e-3, 1e-2]
[variants.lora]
"finetuning.tuning" = "lora"
[variants.noisy]
"finetuning.tuning" = "lora"
noise_multiplier = 0.5
clip_norm = 1.0
[variants.one-by-one]
"finetuning.steps_per_epoch" = 1000
"""
"""The last one fails: a site's batch would be one subject."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tune")
    write_hospitals(folder / "sites", HospitalsPlan(num_subjects=400, num_sites=2, seed=1))
    (folder / "study.toml").write_text(STUDY, encoding="utf-8")
    (folder / "variants.toml").write_text(VARIANTS, encoding="utf-8")
    return folder


def _command(files: Path, out: Path, *more: str) -> list[str]:
    return [
        str(PROGRAM), "tune", str(files / "study.toml"), "--sites", str(files / "sites"),
        "--out", str(out), "--variants", str(files / "variants.toml"), "--seeds", "2",
        "--actors", "1", *more,
    ]  # fmt: skip


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture(scope="module")
def finished(files: Path) -> tuple[Path, dict[str, Any]]:
    """The trials from the first to the last, and the JSON that they printed."""
    out = files / "whole"
    done = _run(_command(files, out, "--json", "--markdown", str(files / "page.md")))
    assert done.returncode == 1, done.stderr
    assert "one-by-one" in done.stderr
    assert "Traceback" not in done.stderr
    return out, json.loads(done.stdout)


def _variants(record: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {variant["name"]: variant for variant in record["variants"]}


def test_what_was_found_is_printed_and_kept(
    files: Path, finished: tuple[Path, dict[str, Any]]
) -> None:
    out, record = finished
    assert json.loads((out / "variants.json").read_text()) == record
    assert stat.S_IMODE(out.stat().st_mode) == 0o700
    assert not (out / ".work").exists()
    found = _variants(record)
    assert list(found) == ["full", "lora", "noisy"]
    assert {failure["variant"] for failure in record["failures"]} == {"one-by-one"}
    for variant in found.values():
        assert variant["seeds"] == [0, 1]
        assert set(variant["scores"]) == {"death", "long_stay"}
        for scores in variant["scores"].values():
            assert scores["auroc"]["low"] <= scores["auroc"]["value"] <= scores["auroc"]["high"]
    # One pre-training a seed, and one fine-tuning a candidate and seed.
    assert len(list((out / "models").iterdir())) == 2
    assert len(list((out / "trials").glob("*/figures.json"))) == 3 + 2 + 2
    page = (files / "page.md").read_text()
    assert "no guarantee of privacy" in page
    assert page.count("\n| lora |") == 3


def test_the_candidate_with_the_best_tuning_score_is_taken(
    finished: tuple[Path, dict[str, Any]],
) -> None:
    full = _variants(finished[1])["full"]
    scores = [candidate["tuning_scores"][0] for candidate in full["candidates"]]
    best = full["candidates"][int(np.argmax(scores))]
    assert full["chosen"] == best["settings"]
    # The second seed tried that one alone.
    assert sorted(len(candidate["tuning_scores"]) for candidate in full["candidates"]) == [1, 2]


def test_only_adapters_and_heads_travel_with_lora(finished: tuple[Path, dict[str, Any]]) -> None:
    found = _variants(finished[1])
    assert found["full"]["exchanged"]["base"] == 0
    assert found["full"]["aggregation_error"] is None
    for name in ("lora", "noisy"):
        exchanged = found[name]["exchanged"]
        # Each trial is sent the base, though an earlier one had the same.
        assert exchanged["base"] > 5 * exchanged["up_per_round"]
        assert exchanged["up_per_round"] < found["full"]["exchanged"]["up_per_round"] / 5
        assert found[name]["aggregation_error"] >= 0
    assert found["noisy"]["aggregation_error"] > 2 * found["lora"]["aggregation_error"]
    assert found["noisy"]["noise"] == {"multiplier": 0.5, "clip_norm": 1.0}


@pytest.mark.long
def test_killed_trials_go_on_to_the_same_figures(
    files: Path, finished: tuple[Path, dict[str, Any]]
) -> None:
    out = files / "killed"
    command = _command(files, out, "--seeds", "1")
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        deadline = time.monotonic() + 200
        while len(list(out.glob("trials/*"))) < 2:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    kept = {file: file.stat().st_mtime_ns for file in out.glob("trials/*/figures.json")}
    assert kept
    assert len(kept) < 3
    assert not (out / "variants.json").exists()
    done = _run([*command, "--json"])
    assert done.returncode == 1, done.stderr
    assert "done: pre-training" not in done.stderr
    assert all(file.stat().st_mtime_ns == told for file, told in kept.items())
    for file in kept:
        same = finished[0] / "trials" / file.parent.name / file.name
        assert _repeated(file) == _repeated(same)
    whole, gone_on = _variants(finished[1]), _variants(json.loads(done.stdout))
    for name in ("full", "lora"):
        assert gone_on[name]["chosen"] == whole[name]["chosen"]
        for candidate, same in zip(
            gone_on[name]["candidates"], whole[name]["candidates"], strict=True
        ):
            assert candidate["tuning_scores"][0] == same["tuning_scores"][0]


def _repeated(file: Path) -> dict[str, Any]:
    """What a trial's file holds that is the same when it is done again."""
    told: dict[str, Any] = json.loads(file.read_text())
    return {key: value for key, value in told.items() if key not in {"cpu_seconds", "commit"}}


def _with_held_out_answers_turned(files: Path, folder: Path) -> None:
    """Every label of a held-out subject becomes its opposite."""
    shutil.copytree(files / "sites", folder)
    for site in FederationFolder(folder).sites:
        splits = read_splits(site)
        for file in (site.path / "labels" / f"{task}.parquet" for task in ("death", "long_stay")):
            table = pq.read_table(file)
            held_out = [splits[i] == HELD_OUT for i in table.column("subject_id").to_pylist()]
            values = np.asarray(table.column("boolean_value").to_pylist()) ^ np.asarray(held_out)
            place = table.schema.get_field_index("boolean_value")
            turned = pa.chunked_array([pa.array(values, table.schema.field(place).type)])
            pq.write_table(table.set_column(place, table.schema.field(place), turned), file)


def test_held_out_answers_decide_nothing(
    files: Path, finished: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    _with_held_out_answers_turned(files, tmp_path / "sites")
    study = StudyConfig.load(files / "study.toml")
    variants = read_tuning_variants(study, files / "variants.toml")[:1]
    request = TrialsRequest(study, tmp_path / "sites", variants, 1, 1, tmp_path / "out", 1)
    full = run_trials(request, lambda *_: None).variants[0]
    before = _variants(finished[1])["full"]
    assert full.chosen == before["chosen"]
    assert [candidate.tuning_scores[0] for candidate in full.candidates] == [
        candidate["tuning_scores"][0] for candidate in before["candidates"]
    ]
    # They do judge.
    assert full.scores["death"].auroc.value != before["scores"]["death"]["auroc"]["value"]


def _request(files: Path, out: Path, **changes: Any) -> TrialsRequest:
    study = StudyConfig.load(files / "study.toml").model_copy(update=changes.pop("study", {}))
    variants = read_tuning_variants(study, files / "variants.toml")
    seeds = {"num_seeds": 2, "num_grid_seeds": 1, **changes}
    return TrialsRequest(study, files / "sites", variants, out=out, **seeds)


def test_a_folder_in_use_is_refused(files: Path, tmp_path: Path) -> None:
    request = _request(files, tmp_path / "out")
    (tmp_path / "out").mkdir()
    with try_lock_folder(tmp_path / "out"), pytest.raises(DataError, match="another process"):
        run_trials(request, lambda *_: pytest.fail("a run was done"))


@pytest.mark.parametrize("num_grid_seeds", [0, 3])
def test_wrong_numbers_of_seeds_are_refused(
    files: Path, tmp_path: Path, num_grid_seeds: int
) -> None:
    with pytest.raises(UsageError, match="--grid-seeds"):
        run_trials(
            _request(files, tmp_path / "out", num_grid_seeds=num_grid_seeds), lambda *_: None
        )
    assert not (tmp_path / "out").exists()


def test_an_unknown_key_is_refused_before_anything_starts(files: Path, tmp_path: Path) -> None:
    (tmp_path / "odd.toml").write_text('[variants.a]\n"lora.rnak" = 2\n', encoding="utf-8")
    done = _run(_command(files, tmp_path / "out", "--variants", str(tmp_path / "odd.toml")))
    assert done.returncode == 3
    assert "lora.rnak: unknown key" in done.stderr
    assert not (tmp_path / "out").exists()
