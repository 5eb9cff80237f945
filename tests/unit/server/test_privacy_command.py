"""`fedehr-server privacy STUDY`: the same figures as both ends reckon, and in plain words."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedehr_server.cli.privacy import app
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import ConfigError
from fedehr_shared.privacy.rdp import subject_epsilon
from fedehr_shared.privacy.study_cost import StudyCost

STUDY = """
name = "asked"
[pretraining]
rounds = 4
optimizer_state = "kept"
[finetuning]
tasks = ["death"]
rounds = 12
optimizer_state = "kept"
"""
LOCAL = """
[privacy]
mechanism = "local"
target_epsilon = 3
target_delta = 1e-5
clipping_quantile = 0.5
"""
CENTRAL = """
[privacy]
mechanism = "central"
noise_multiplier = 5
target_delta = 1e-3
"""


def _write(path: Path, text: str) -> Path:
    file = path / "study.toml"
    file.write_text(text)
    return file


def test_json_has_the_figures_of_the_study(tmp_path: Path) -> None:
    file = _write(tmp_path, STUDY + LOCAL)
    result = CliRunner().invoke(app, [str(file), "--json"])
    assert result.exit_code == 0
    told, cost = json.loads(result.stdout), StudyCost.of(StudyConfig.load(file))
    assert (told["unit"], told["neighbors"], told["delta"]) == (
        "subject",
        "add_or_remove_one",
        1e-5,
    )
    assert told["noise_multiplier"] == cost.noise_multiplier > told["charged_multiplier"]
    assert told["total"]["subject_epsilon"] == cost.subject_epsilon <= 3
    last = told["phases"][-1]
    assert last["after"] == told["total"]
    assert last["rounds"]["12"] == cost.subject_epsilon
    assert list(last["rounds"]) == ["1", "2", "5", "10", "12"]
    rate = StudyConfig.load(file).privacy.finetuning.sample_rate
    assert last["expected_batch_subjects"] == rate * 1_000
    more = [*cost.history(), cost.of_round("finetuning")]
    assert told["next_round"]["finetuning"]["after"] == subject_epsilon(more, 1e-5) > 3


@pytest.mark.parametrize(("privacy", "unit"), [(LOCAL, "subject"), (CENTRAL, "site")])
def test_a_person_reads_unit_relation_and_delta(tmp_path: Path, privacy: str, unit: str) -> None:
    result = CliRunner().invoke(app, [str(_write(tmp_path, STUDY + privacy))])
    assert result.exit_code == 0
    words = " ".join(result.stdout.split())
    assert f"{unit}_epsilon, by RDP" in words
    assert f"one {unit} added or removed" in words
    assert "delta" in words
    assert "does not cover" in words


def test_a_study_without_noise_promises_nothing(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, [str(_write(tmp_path, STUDY))])
    assert result.exit_code == 0
    assert "adds no noise" in " ".join(result.stdout.split())


def test_a_study_that_contradicts_itself_is_refused(tmp_path: Path) -> None:
    text = STUDY + LOCAL + "noise_multiplier = 1\n"
    result = CliRunner().invoke(app, [str(_write(tmp_path, text))])
    assert isinstance(result.exception, ConfigError)
    assert "one of the two" in str(result.exception)
