"""The GPU's check, against stand-ins of `nvidia-smi` that print what the real one prints."""

import os
from pathlib import Path
from typing import Any

import pytest

from fedehr_client.doctor.gpu_check import check_gpu
from fedehr_client.node.folder import create_node
from fedehr_client.site import SiteConfig


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`ask("cuda", "echo ...")`: the findings, with such a program as `nvidia-smi`.

    The second, of torch, takes seconds: it is asked for where it matters.
    """
    node = create_node(tmp_path / "node", "north", None, "localhost:443", None)
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}/usr/bin{os.pathsep}/bin")

    def run(device: str, script: str | None) -> dict[str, Any]:
        text = node.site_file.read_text()
        node.site_file.write_text(text.replace('device = "auto"', f'device = "{device}"'))
        if script is not None:
            program = programs / "nvidia-smi"
            program.write_text(f"#!/bin/sh\n{script}\n")
            program.chmod(0o755)
        config: SiteConfig = node.config()
        return check_gpu(config)

    return run


def test_a_processor_that_was_chosen_needs_no_gpu(ask: Any) -> None:
    assert [each.verdict for each in ask("cpu", "exit 9")] == ["ok"]


@pytest.mark.parametrize(("device", "verdict"), [("auto", "ok"), ("cuda", "fail")])
def test_no_gpu(device: str, verdict: str, ask: Any) -> None:
    assert [each.verdict for each in ask(device, None)] == [verdict]


@pytest.mark.parametrize(("device", "verdict"), [("auto", "warn"), ("cuda", "fail")])
def test_a_driver_that_does_not_answer(device: str, verdict: str, ask: Any) -> None:
    assert [each.verdict for each in ask(device, "echo failed >&2; exit 9")] == [verdict]


def test_a_gpu_in_use_by_others_is_told(ask: Any) -> None:
    free = next(ask("auto", 'echo "NVIDIA H100 80GB HBM3, 580.95.05, 81559, 4"'))
    assert free.verdict == "ok"
    assert free.figures["driver"] == "580.95.05"
    assert 85e9 < free.figures["free_bytes"] < 86e9
    used = next(ask("auto", 'echo "NVIDIA H100 80GB HBM3, 580.95.05, 81559, 70000"'))
    assert used.verdict == "warn"
    assert "yield_gpu" in used.mend


def test_a_part_of_a_gpu_tells_no_memory(ask: Any) -> None:
    found = next(ask("auto", 'echo "NVIDIA H100, 580.95.05, [N/A], [Insufficient Permissions]"'))
    assert found.verdict == "ok"
    assert found.figures["driver"] == "580.95.05"


def test_a_torch_that_cannot_use_the_gpu_is_told(ask: Any) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("torch uses a GPU here")
    line = 'echo "NVIDIA H100, 580.95.05, 81559, 4"'
    found = list(ask("cuda", line))[-1]
    assert (found.name, found.verdict) == ("torch_gpu", "fail")
    assert found.mend
