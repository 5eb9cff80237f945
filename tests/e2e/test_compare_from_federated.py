"""Arms that begin from what the federated arm pre-trained: each task alone, own labels alone."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fedehr_simulations.hospitals.folder import write_hospitals
from fedehr_simulations.hospitals.plan import HospitalsPlan
from fedehr_simulations.outcome.site_differences import MEAN_OF_SITES
from fedehr_simulations.verdict.verdict import Verdict

pytestmark = [pytest.mark.e2e, pytest.mark.long]

PROGRAM = Path(sys.executable).parent / "fedehr-sim"
SITES = ["hospital-1", "hospital-2", "hospital-3"]
TASKS = ["death", "coin"]
TOO_SMALL = "hospital-3"
STUDY = """
name = "tiny"
[vocabulary]
min_sites = 1
[model]
layers = 1
hidden = 16
[pretraining]
rounds = 1
steps_per_round = 2
steps_per_epoch = 2
[finetuning]
tasks = ["death", "coin"]
rounds = 2
steps_per_round = 4
steps_per_epoch = 4
[evaluation]
num_bootstraps = 100
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("from-federated")
    # The third hospital has 14 subjects, fewer than min_cell of them to train on.
    write_hospitals(path / "sites", HospitalsPlan(num_subjects=200, num_sites=3, seed=3))
    (path / "study.toml").write_text(STUDY, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def compared(folder: Path) -> tuple[Path, Verdict]:
    out = folder / "compared"
    arms = "federated,single_task,own_labels,boosting"
    command = [PROGRAM, "compare", "study.toml", "--arms", arms, "--out", out, "--sites", "sites"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=400, cwd=folder
    )
    assert done.returncode == 0, done.stderr
    assert f"federated minus own_labels, {MEAN_OF_SITES}" in done.stdout
    return out, Verdict.read(out / "verdict.json")


def _result(folder: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return told


def test_both_begin_from_the_federated_model_and_pretrain_nothing(
    compared: tuple[Path, Verdict],
) -> None:
    out, verdict = compared
    model = _result(out / "federated/seed-0/runs/federated")["pretrained_model"]
    begun = [*(out / "single_task/seed-0/runs").iterdir()]
    begun += [out / f"own_labels/seed-0/{site}/runs/own_labels" for site in SITES[:2]]
    assert len(begun) == 4
    for run in begun:
        study = json.loads((run / "study.json").read_text())
        assert study["pretraining"]["reuse"] == model
        assert _result(run)["pretraining_loss"] == []
    assert verdict.arms["single_task"].pretraining_loss == ()


def test_each_task_is_learnt_alone(compared: tuple[Path, Verdict]) -> None:
    out, verdict = compared
    for task in TASKS:
        study = json.loads((out / f"single_task/seed-0/runs/{task}/study.json").read_text())
        assert study["finetuning"]["tasks"] == [task]
    arms = verdict.arms
    ours, alone = (arms[arm].tasks["coin"].auroc.value for arm in ("federated", "single_task"))
    assert ours is not None
    assert alone is not None
    told = [
        c.difference.value
        for c in verdict.comparisons
        if (c.task, c.metric, c.reference, c.site) == ("coin", "auroc", "single_task", None)
    ]
    assert told == [pytest.approx(ours - alone)]


def test_own_labels_are_one_site_s_and_told_site_by_site(compared: tuple[Path, Verdict]) -> None:
    out, verdict = compared
    for site in SITES[:2]:
        result = _result(out / f"own_labels/seed-0/{site}/runs/own_labels")
        assert list(result["bytes"]["up_per_site"]) == [site]
    withheld = verdict.arms["own_labels"].tasks["coin"].per_site[TOO_SMALL]
    assert "too few labels to fine-tune alone" in (withheld.auroc.reason or "")
    by_site = {
        c.site: c.difference
        for c in verdict.comparisons
        if (c.task, c.metric, c.reference) == ("coin", "auroc", "own_labels")
    }
    assert set(by_site) == {None, *SITES, MEAN_OF_SITES}
    told = [by_site[site].value for site in SITES if by_site[site].value is not None]
    assert told
    assert by_site[MEAN_OF_SITES].value == pytest.approx(sum(map(float, told)) / len(told))
    assert by_site[TOO_SMALL].value is None


def test_without_the_federated_arm_they_are_refused(folder: Path) -> None:
    command = [PROGRAM, "compare", "study.toml", "--arms", "own_labels", "--out", folder / "no"]
    done = subprocess.run(
        [*command, "--sites", "sites"],
        capture_output=True, text=True, check=False, timeout=100, cwd=folder,
    )  # fmt: skip
    assert done.returncode == 2
    assert "Name that too" in done.stderr
