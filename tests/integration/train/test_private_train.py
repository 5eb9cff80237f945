"""`fedehr-client train` and `check` with a study whose pre-training has noise."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from fedehr_client.check.training_step import check_training
from fedehr_client.check.vocabulary import own_vocabulary
from fedehr_client.cli.main import run
from fedehr_client.compute.config import ComputeConfig
from fedehr_client.locator import SiteLocation
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.privacy.study_cost import StudyCost

STUDY = """
name = "private"
vocabulary.min_cell = 5
sequence.context = 64
finetuning.tasks = ["death"]
[model]
size = "tiny"
[pretraining]
rounds = 5
steps_per_round = 4
learning_rate = 3e-3
[privacy]
mechanism = "local"
phases = ["pretraining"]
target_epsilon = 8.0
target_delta = 1e-4
nominal_subjects = 200
pretraining.sample_rate = 0.1
"""


@pytest.fixture
def study_file(tmp_path: Path) -> Path:
    """A study of 20 noisy steps."""
    file = tmp_path / "study.toml"
    file.write_text(STUDY)
    return file


def _train(
    monkeypatch: pytest.MonkeyPatch, capsys: Any, *options: object
) -> tuple[object, str, str]:
    argv = ["fedehr-client", "train", *map(str, options), "--min-cell", "5", "--threads", "1"]
    monkeypatch.setattr(sys, "argv", argv)
    with pytest.raises(SystemExit) as ended:
        run()
    printed = capsys.readouterr()
    assert "Traceback" not in printed.out + printed.err
    return ended.value.code, printed.out, printed.err


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def test_a_rehearsal_has_the_studys_noise_and_is_never_the_same(
    hospitals: Any, study_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, tmp_path: Path
) -> None:
    told, weights = [], []
    for number in range(2):
        out = tmp_path / f"{number}.safetensors"
        asked = (hospitals.sites[0].path, "--study", study_file, "--json", "--out", out)
        code, printed, err = _train(monkeypatch, capsys, *asked, "--steps", 3)
        assert code == 0, err
        told.append(json.loads(printed))
        weights.append(out.read_bytes())
        assert "noise: " in err
    cost = StudyCost.of(StudyConfig.load(study_file))
    assert cost.noise_multiplier > 0
    # Of the study, not of the three steps that were asked for.
    assert {t["noise_multiplier"] for t in told} == {cost.noise_multiplier}
    assert [t["num_steps"] for t in told] == [3, 3]
    assert weights[0] != weights[1]


def test_the_clock_ends_no_noisy_steps_and_learning_by_heart_has_no_noise(
    hospitals: Any, study_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    asked = (hospitals.sites[0].path, "--study", study_file)
    code, _, err = _train(monkeypatch, capsys, *asked, "--minutes", 0.1)
    assert code == 2
    assert "--steps" in err
    code, printed, err = _train(monkeypatch, capsys, *asked, "--overfit", 2)
    assert code == 0, err
    assert "learned by heart" in printed


def test_check_times_noisy_steps(hospitals: Any, study_file: Path, tmp_path: Path) -> None:
    site, study = hospitals.sites[0], StudyConfig.load(study_file)
    location = SiteLocation(
        name=site.name,
        records=site,
        work=tmp_path / "work",
        min_cell=5,
        compute=ComputeConfig(device="cpu", num_threads=1),
    )
    section = check_training(location, study, own_vocabulary(site, study, 5))
    found = {finding.name: finding for finding in section.findings}
    assert found["training_step"].verdict.value == "ok", found["training_step"].text
    figures = found["training_step"].figures
    # An untrained model is as good as a blind guess, noise or not.
    assert abs(figures["loss"] - figures["log_vocabulary"]) < 0.5
