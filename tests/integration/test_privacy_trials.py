"""`fedehr-sim privacy` as a program: noise in one phase and in both, shared pre-trainings."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fedehr_simulations.hospitals.folder import write_hospitals
from fedehr_simulations.hospitals.plan import HospitalsPlan

PROGRAM = Path(sys.executable).parent / "fedehr-sim"
STUDY = """
name = "tiny"
[vocabulary]
min_sites = 1
min_cell = 5
[sequence]
context = 32
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
[privacy]
mechanism = "local"
target_epsilon = 50.0
target_delta = 1e-4
[privacy.pretraining]
sample_rate = 0.2
[privacy.finetuning]
sample_rate = 0.2
[evaluation]
num_bootstraps = 100
"""
WAYS = """
[variants.head]
"finetuning.tuning" = "probe"
private.grid."finetuning.learning_rate" = [1e-3, 1e-2]
[variants.lora]
"finetuning.tuning" = "lora"
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("privacy")
    write_hospitals(folder / "sites", HospitalsPlan(320, 2, seed=1, size_ratio=1.0))
    (folder / "study.toml").write_text(STUDY, encoding="utf-8")
    (folder / "ways.toml").write_text(WAYS, encoding="utf-8")
    return folder


def _run(files: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [
        str(PROGRAM), "privacy", str(files / "study.toml"), "--sites", str(files / "sites"),
        "--out", str(files / "out"), "--ways", str(files / "ways.toml"), "--epsilons", "6",
        "--seeds", "1", "--actors", "1", "--json", *more,
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture(scope="module")
def record(files: Path) -> dict[str, Any]:
    done = _run(files, "--noise", "all", "--markdown", str(files / "page.md"))
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_every_way_is_told_with_what_it_spent(files: Path, record: dict[str, Any]) -> None:
    arms = {(arm["way"], arm["scope"]): arm for arm in record["arms"]}
    assert set(arms) == {(w, s) for w in ("head", "lora") for s in ("none", "finetuning", "both")}
    assert record["nominal_subjects"] == 110  # 160 a site, 70 % to train, two digits
    for (_, scope), arm in arms.items():
        if scope == "none":
            assert arm["subject_epsilon"] is None
            assert arm["history"] == []
        else:
            assert 5.5 < arm["subject_epsilon"] <= 6.0
    # Two steps of pre-training and two rounds of two, with one noise.
    steps = arms["lora", "both"]["history"]
    assert sum(each["num_steps"] for each in steps) == 6
    assert len({each["noise_multiplier"] for each in steps}) == 1
    assert arms["head", "none"]["kept_of_own"]["value"] in {1.0, None}
    assert (files / "out" / "ways-all.json").exists()
    page = (files / "page.md").read_text(encoding="utf-8")
    assert page.startswith("<!-- begin: ways-all 110 -->")
    assert "add or remove one subject" in page


def test_one_pretraining_serves_all_without_noise_there(
    files: Path, record: dict[str, Any]
) -> None:
    assert len(record["arms"]) == 6
    assert len(list((files / "out" / "pretrained").glob("*/model.json"))) == 2
    assert len(list((files / "out" / "trials").glob("*/figures.json"))) == 2 + 3 + 3


def test_what_is_done_is_not_done_again(files: Path, record: dict[str, Any]) -> None:
    kept = {file: file.stat().st_mtime_ns for file in files.glob("out/trials/*/figures.json")}
    done = _run(files, "--noise", "finetuning")
    assert done.returncode == 0, done.stderr
    assert all(file.stat().st_mtime_ns == told for file, told in kept.items())
    again = {(a["way"], a["scope"]): a for a in json.loads(done.stdout)["arms"]}
    assert len(again) == 4
    for arm in record["arms"]:
        if arm["scope"] != "both":
            assert again[arm["way"], arm["scope"]] == arm


def test_numbers_that_are_none_are_refused(files: Path) -> None:
    done = _run(files, "--epsilons", "8;3")
    assert done.returncode == 2
    assert "--epsilons 8;3" in done.stderr
