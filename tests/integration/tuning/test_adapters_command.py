"""`fedehr-server adapters`: a real run's adapters out, back in, and merged."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

from fedehr_server.checkpoint import CheckpointFolder, load_weights
from fedehr_server.cli.main import app
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import FedehrError
from fedehr_shared.model.tuning.plan import is_adapter
from fedehr_simulations.outcome.finished_run import predict_held_out

LORA = {
    "finetuning": {"tuning": "lora", "rounds": 2},
    "lora": {"rank": 2, "target_modules": ["q", "v", "down"], "rate_factor": 3.0},
}


@pytest.fixture(scope="module")
def run(
    make_study: Callable[..., Any],
    hospitals: Any,
    run_study_in_process: Callable[..., Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A finished study's folder. Read only."""
    done = run_study_in_process(
        make_study(**LORA), hospitals.sites, tmp_path_factory.mktemp("adapted")
    )
    folder: Path = done.folder
    return folder


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


def _command(*words: Any) -> Done:
    """In this process: as `run_program` would end it."""
    done = CliRunner().invoke(app, ["adapters", *map(str, words)])
    if isinstance(done.exception, FedehrError):
        return Done(done.exception.exit_code, done.stdout, str(done.exception))
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return Done(done.exit_code, done.stdout, done.stderr)


def _process(*words: Any) -> Done:
    program = Path(sys.executable).with_name("fedehr-server")
    done = subprocess.run(
        [program, "adapters", *map(str, words)], capture_output=True, text=True, check=False
    )
    return Done(done.returncode, done.stdout, done.stderr)


def _weights(run: Path) -> Any:
    return load_weights(CheckpointFolder(run / "checkpoints").latest("finetuning"))


def _study(run: Path) -> StudyConfig:
    return StudyConfig.from_json((run / "study.json").read_text())


def test_what_is_exported_comes_back_bit_by_bit(run: Path, tmp_path: Path) -> None:
    done = _process("export", run, tmp_path / "peft", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["tuning"] == "lora"
    assert told["study_digest"] == _study(run).digest
    assert {file.name for file in (tmp_path / "peft").iterdir()} == {
        "adapter_config.json", "adapter_model.safetensors", "heads.safetensors",
        "encoder.safetensors",
    }  # fmt: skip
    assert any(value.any() for value in load_file(
        tmp_path / "peft" / "adapter_model.safetensors"
    ).values())  # fmt: skip
    done = _command("import", tmp_path / "peft", "--run", run, tmp_path / "back")
    assert done.returncode == 0, done.stderr
    before, after = _weights(run), _weights(tmp_path / "back")
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["back", "peft"]


def test_other_adapters_are_what_the_new_run_holds(run: Path, tmp_path: Path) -> None:
    assert _command("export", run, tmp_path / "peft").returncode == 0
    file = tmp_path / "peft" / "adapter_model.safetensors"
    changed = {name: value + np.float32(1) for name, value in load_file(file).items()}
    save_file(changed, file)
    done = _command("import", tmp_path / "peft", "--run", run, tmp_path / "new", "--json")
    assert done.returncode == 0, done.stderr
    before, after = _weights(run), _weights(tmp_path / "new")
    for name, value in before.items():
        assert np.array_equal(after[name], value + np.float32(1) if is_adapter(name) else value)


def test_a_merged_run_predicts_the_same(run: Path, hospitals: Any, tmp_path: Path) -> None:
    done = _command("merge", run, tmp_path / "merged", "--json")
    assert done.returncode == 0, done.stderr
    merged = tmp_path / "merged"
    assert not any(is_adapter(name) for name in _weights(merged))
    assert _study(merged).finetuning.tuning == "full"
    site = hospitals.sites[0]
    both = [
        predict_held_out(_study(folder), folder, site, tmp_path / "work", records=site)
        for folder in (run, merged)
    ]
    np.testing.assert_array_equal(both[0].subject_ids, both[1].subject_ids)
    first, second = ([v for v in vars(one).values() if v.dtype.kind == "f"] for one in both)
    assert first
    for one, other in zip(first, second, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    # The adapters moved the outputs, so that the equality says something.
    before, after = _weights(run), _weights(merged)
    folded = [name for name in after if not np.array_equal(before[name], after[name])]
    assert {name.split(".")[-2] for name in folded} == {"q", "v", "down"}


def test_nothing_is_overwritten_or_left_half_written(run: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("there", "link"):
        for words in (("export", run), ("merge", run)):
            done = _command(*words, tmp_path / name)
            assert done.returncode == 2
            assert "exists already" in done.stderr
    assert _command("export", run, tmp_path / "peft").returncode == 0
    damaged = tmp_path / "peft" / "adapter_model.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-9])
    done = _process("import", tmp_path / "peft", "--run", run, tmp_path / "new")
    assert done.returncode == 4
    assert "damaged" in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "peft", "there"]
    assert not list((tmp_path / "there").iterdir())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_told(run: Path, tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    done = _command("export", run, tmp_path / "closed" / "new")
    assert done.returncode == 2
    assert "Permission" in done.stderr


def test_runs_that_cannot_serve_are_told_apart(
    run: Path, finished_study: Any, tmp_path: Path
) -> None:
    done = _command("export", finished_study.folder, tmp_path / "new")
    assert (done.returncode, "no adapters" in done.stderr) == (3, True)
    done = _command("merge", finished_study.folder, tmp_path / "new")
    assert (done.returncode, "no adapters" in done.stderr) == (3, True)
    done = _command("merge", tmp_path / "nowhere", tmp_path / "new")
    assert (done.returncode, "study.json" in done.stderr) == (1, True)
    cut_short = tmp_path / "cut_short"
    shutil.copytree(run, cut_short)
    shutil.rmtree(cut_short / "checkpoints" / "finetuning-0002")
    done = _command("merge", cut_short, tmp_path / "new")
    assert (done.returncode, "came to its end" in done.stderr) == (1, True)
    other = tmp_path / "other"
    shutil.copytree(run, other)
    study = json.loads((other / "study.json").read_text())
    study["lora"]["rank"] = 3
    (other / "study.json").write_text(json.dumps(study))
    done = _command("export", other, tmp_path / "new")
    assert (done.returncode, "not of its study" in done.stderr) == (1, True)
    assert not (tmp_path / "new").exists()
