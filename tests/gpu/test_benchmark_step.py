"""The GPU benchmark runs through on a CPU, so that it does not fail first where time is dear."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

SCRIPT = Path(__file__).with_name("benchmark_step.py")


def _run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, SCRIPT, *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        cwd=folder, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip


@pytest.mark.long
def test_it_runs_through_on_a_cpu_and_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: Any
) -> None:
    out = tmp_path / "made" / "gpu.json"
    done = _run("--device", "cpu", "--quick", "--out", str(out), folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    record: dict[str, Any] = json.loads(out.read_text())
    figures = record["figures"]
    (step,) = figures["steps"]
    for key in ("ours_events_a_second", "ours_share_of_matmul", "loader_wait_share"):
        assert math.isfinite(step[key])
        assert step[key] > 0
        assert key in done.stdout
    assert step["ours_to_bert"] > 0
    assert 0 < step["loader_wait_share"] < 1
    assert step["events"] < step["step_tokens"]
    assert figures["largest_context"][0]["fits"] == 256
    assert figures["largest_model"]["parameters"] > 0
    assert record["quick"] is True
    # Called again, it measures only what is missing; of another run's file it takes nothing.
    gone = record["parts"].pop("largest model")
    figures["largest_model"] = {}
    out.write_text(json.dumps(record))
    done = _run("--device", "cpu", "--quick", "--out", str(out), folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("found by an earlier run") == 4
    again = json.loads(out.read_text())
    assert again["figures"]["steps"] == [step]
    assert again["figures"]["largest_model"] == gone
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    monkeypatch.syspath_prepend(str(SCRIPT.parents[1] / "benchmarks"))
    import benchmark_step

    about = {"machine": record["machine"], "commit": "another", "quick": True}
    assert benchmark_step._earlier_parts(out, about) == {}
    assert benchmark_step._earlier_parts(tmp_path / "none.json", about) == {}


def test_a_machine_without_git_is_measured(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    monkeypatch.syspath_prepend(str(SCRIPT.parents[1] / "benchmarks"))
    import benchmark_step

    monkeypatch.setenv("PATH", str(tmp_path))
    assert benchmark_step._commit() == "unknown"


def test_a_missing_gpu_is_said(tmp_path: Path) -> None:
    done = _run("--out", str(tmp_path / "gpu.json"), folder=tmp_path)
    assert done.returncode == 2
    assert "no CUDA device" in done.stderr
    assert not (tmp_path / "gpu.json").exists()


@pytest.mark.long
def test_a_failure_is_told_and_the_rest_goes_on(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    monkeypatch.syspath_prepend(str(SCRIPT.parents[1] / "benchmarks"))
    import benchmark_step
    from benchmark_plan import QUICK

    from fedehr_client.compute.compute import Compute

    saved: list[dict[str, Any]] = []
    bench = benchmark_step.Bench(QUICK, Compute(torch.device("cpu")), None, saved.append)
    figures = bench.run()
    assert len(saved) == 5
    assert len(bench.failures) == 2
    assert "failed" in figures["steps"][0]
    assert "failed" in figures["largest_model"]
    assert figures["largest_context"][0]["fits"] == 256
