"""`fedehr-sim compare` and `run` on Flower's simulation engine: one study, the same figures."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fedehr_simulations.hospitals.folder import write_hospitals
from fedehr_simulations.hospitals.plan import HospitalsPlan
from fedehr_simulations.verdict.verdict import Verdict

pytestmark = pytest.mark.e2e

PROGRAM = Path(sys.executable).parent / "fedehr-sim"
SITES = ["hospital-1", "hospital-2", "hospital-3"]
STUDY = """
name = "tiny"
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
num_bootstraps = 200
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("engine")
    write_hospitals(path / "sites", HospitalsPlan(num_subjects=500, num_sites=3, seed=0))
    (path / "study.toml").write_text(STUDY, encoding="utf-8")
    return path


def _simulate(folder: Path, *arguments: str) -> dict[str, Any]:
    command = [PROGRAM, *arguments, "--sites", "sites", "--json"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=400, cwd=folder
    )
    assert done.returncode == 0, done.stderr
    printed: dict[str, Any] = json.loads(done.stdout)
    return printed


@pytest.fixture(scope="module")
def compared(folder: Path) -> Verdict:
    _simulate(folder, "compare", "study.toml", "--arms", "federated,logistic", "--out", "compared")
    return Verdict.read(folder / "compared" / "verdict.json")


def test_federated_is_compared_on_the_same_subjects(compared: Verdict) -> None:
    told = {(c.task, c.metric): c for c in compared.comparisons}
    assert set(told) == {(t, m) for t in ("death", "coin") for m in ("auroc", "auprc", "brier")}
    coin = told["coin", "auroc"]
    assert (coin.arm, coin.reference, coin.num_seeds) == ("federated", "logistic", 1)
    ours, theirs = (compared.arms[arm].tasks["coin"] for arm in ("federated", "logistic"))
    assert ours.num == theirs.num
    assert ours.auroc.value is not None
    assert theirs.auroc.value is not None
    assert coin.difference.value == pytest.approx(ours.auroc.value - theirs.auroc.value)


def test_bytes_sites_and_rounds_are_told(compared: Verdict) -> None:
    assert set(compared.bytes.up_per_site) == set(SITES)
    assert [r.phase for r in compared.bytes.per_round] == [
        "vocabulary", "pretraining", "finetuning", "finetuning", "evaluation"
    ]  # fmt: skip
    assert sum(compared.bytes.up_per_site.values()) == sum(r.up for r in compared.bytes.per_round)
    assert [site.name for site in compared.sites] == SITES
    assert sum(site.num_subjects or 0 for site in compared.sites) == 500
    assert len(compared.arms["federated"].pretraining_loss) == 1


@pytest.mark.long
def test_a_single_run_ends_with_the_same_figures(compared: Verdict, folder: Path) -> None:
    printed = _simulate(folder, "run", "study.toml", "--out", "single")
    single = Verdict.read(folder / "single" / "verdict.json")
    assert single.study == compared.study
    assert single.arms["federated"] == compared.arms["federated"]
    assert single.sites == compared.sites
    assert single.comparisons == ()
    assert {"verdict", "report", "result"} <= set(printed["paths"])
    assert all((folder / path).exists() for path in printed["paths"].values())
    assert not (folder / "single" / ".work").exists()


def test_the_server_was_told_the_same_per_site(compared: Verdict, folder: Path) -> None:
    run = folder / "compared/federated/seed-0/runs/federated"
    told = json.loads((run / "evaluation.json").read_text())["coin"]["per_site"]["hospital-1"]
    found = compared.arms["federated"].tasks["coin"].per_site["hospital-1"].auroc
    # The site tells it in steps that count no one (told_values.py).
    assert found.value == pytest.approx(told["auroc"]["value"], abs=0.01)
