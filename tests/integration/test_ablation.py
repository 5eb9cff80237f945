"""`fedehr-sim ablate` as a program: two variants, a kill in the middle, a variant that fails."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from fedehr_shared.config.model import ModelConfig
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import DataError
from fedehr_shared.meds.folder_lock import try_lock_folder
from fedehr_simulations.ablation.ablation import AblationRequest, run_ablation
from fedehr_simulations.ablation.variants import read_variants
from fedehr_simulations.hospitals.folder import write_hospitals
from fedehr_simulations.hospitals.plan import HospitalsPlan

PROGRAM = Path(sys.executable).parent / "fedehr-sim"
STUDY = """
name = "tiny"
[vocabulary]
min_sites = 1
min_cell = 5
[model]
layers = 1
hidden = 16
[pretraining]
rounds = 2
steps_per_round = 2
steps_per_epoch = 2
[finetuning]
tasks = ["death", "coin"]
[evaluation]
num_bootstraps = 100
"""
VARIANTS = """
[variants.plain]
[variants.low]
"masking.rate" = 0.15
"masking.whole_visit_share" = 0.0
[variants.one-by-one]
"pretraining.steps_per_epoch" = 1000
"""
"""The last one fails: a site's batch would be one subject."""
MEASURED_ANEW = ("cpu_seconds",)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ablation")
    write_hospitals(folder / "sites", HospitalsPlan(num_subjects=400, num_sites=2, seed=1))
    (folder / "study.toml").write_text(STUDY, encoding="utf-8")
    (folder / "variants.toml").write_text(VARIANTS, encoding="utf-8")
    return folder


def _command(files: Path, out: Path, variants: str = "variants", *more: str) -> list[str]:
    return [
        str(PROGRAM), "ablate", str(files / "study.toml"), "--sites", str(files / "sites"),
        "--out", str(out), "--variants", str(files / f"{variants}.toml"), "--seeds", "1", *more,
    ]  # fmt: skip


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture(scope="module")
def finished(files: Path) -> tuple[Path, dict[str, Any]]:
    """The ablation from its first to its last run, and the JSON that it printed."""
    out = files / "whole"
    done = _run(_command(files, out, "variants", "--json", "--markdown", str(files / "page.md")))
    assert done.returncode == 1, done.stderr
    assert "1 run(s) failed:" in done.stderr
    assert "one-by-one, seed 0" in done.stderr
    assert "Traceback" not in done.stderr
    return out, json.loads(done.stdout)


def _figures(record: dict[str, Any]) -> list[dict[str, Any]]:
    """What must be the same when a run is done again."""
    return [{k: v for k, v in run.items() if k not in MEASURED_ANEW} for run in record["runs"]]


@pytest.mark.long
def test_what_was_found_is_printed_and_kept(
    files: Path, finished: tuple[Path, dict[str, Any]]
) -> None:
    out, record = finished
    assert json.loads((out / "ablation.json").read_text()) == record
    assert stat.S_IMODE(out.stat().st_mode) == 0o700
    assert not (out / ".work").exists()
    assert [run["variant"] for run in record["runs"]] == ["plain", "low"]
    assert [run["variant"] for run in record["failures"]] == ["one-by-one"]
    assert record["machine"]["num_cores"] >= 1
    for run in record["runs"]:
        losses = run["masked_loss"]["per_site"]
        assert all(0 < loss < 8 for loss in losses.values())
        assert run["own_loss"] is None
        assert run["passes"] == 2.0
        assert run["bytes_up_per_round"] > 1_000
        assert {(score["task"], score["num_labels"]) for score in run["probe"]} == {
            ("death", None), ("death", 256), ("coin", None), ("coin", 256),
        }  # fmt: skip
        assert len(run["pretraining_loss"]) == 2
    first, second = record["runs"]
    assert first["masked_loss"] != second["masked_loss"]


@pytest.mark.long
def test_all_variants_meet_the_same_masks(finished: tuple[Path, dict[str, Any]]) -> None:
    _, record = finished
    assert len({run["masks_digest"] for run in record["runs"]}) == 1
    assert len({run["vocabulary_digest"] for run in record["runs"]}) == 1
    assert len({run["study_digest"] for run in record["runs"]}) == 2


@pytest.mark.long
def test_the_page_holds_a_row_a_variant(files: Path, finished: tuple[Path, dict[str, Any]]) -> None:
    _, record = finished
    page = (files / "page.md").read_text()
    loss = sum(record["runs"][1]["masked_loss"]["per_site"].values()) / 2
    assert f"| low | 1 | 2 | {loss:.3f} |" in page
    assert page.count("| plain |") == 2
    assert "| one-by-one | failed |" in page


@pytest.mark.long
def test_a_killed_ablation_goes_on_to_the_same_figures(
    files: Path, finished: tuple[Path, dict[str, Any]]
) -> None:
    out = files / "killed"
    command = _command(files, out, "variants", "--actors", "1")
    first = out / "plain" / "seed-0" / "figures.json"
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        deadline = time.monotonic() + 200
        while not (first.exists() and (out / "low").exists()):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    assert not (out / "ablation.json").exists()
    assert not (out / "low" / "seed-0" / "figures.json").exists()
    kept = first.stat()
    done = _run([*command, "--json"])
    assert done.returncode == 1, done.stderr
    assert (first.stat().st_ino, first.stat().st_mtime_ns) == (kept.st_ino, kept.st_mtime_ns)
    assert "done: plain" not in done.stderr
    assert "done: low, seed 0 (1 of 2)" in done.stderr
    assert _figures(json.loads(done.stdout)) == _figures(finished[1])


@pytest.mark.long
def test_a_folder_of_another_study_is_refused(
    files: Path, finished: tuple[Path, dict[str, Any]]
) -> None:
    study = StudyConfig.load(files / "study.toml")
    wider = study.model_copy(update={"model": ModelConfig(layers=1, hidden=24)})
    variants = read_variants(wider, files / "variants.toml")
    request = AblationRequest(wider, files / "sites", variants, 1, finished[0])
    with pytest.raises(DataError, match="holds a run of another study"):
        run_ablation(request, lambda *_: pytest.fail("a run was done"))
    assert json.loads((finished[0] / "ablation.json").read_text()) == finished[1]


def test_a_folder_in_use_is_refused(files: Path, tmp_path: Path) -> None:
    study = StudyConfig.load(files / "study.toml")
    variants = read_variants(study, files / "variants.toml")
    request = AblationRequest(study, files / "sites", variants, 1, tmp_path / "out")
    (tmp_path / "out" / ".work").mkdir(parents=True)
    with try_lock_folder(tmp_path / "out"), pytest.raises(DataError, match="another process"):
        run_ablation(request, lambda *_: pytest.fail("a run was done"))
    # What belongs to the other process stays.
    assert (tmp_path / "out" / ".work").exists()


def test_an_unknown_key_is_refused_before_anything_starts(files: Path, tmp_path: Path) -> None:
    (files / "unknown.toml").write_text('[variants.a]\n"masking.raet" = 0.1\n', encoding="utf-8")
    done = _run(_command(files, tmp_path / "out", "unknown"))
    assert done.returncode == 3
    assert "masking.raet: unknown key" in done.stderr
    assert not (tmp_path / "out").exists()
