"""What a site computes with: by its hardware, or as asked, or a clear refusal."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from fedehr_client.compute.compute import choose_compute
from fedehr_client.compute.config import ComputeConfig
from fedehr_client.compute.determinism import WORKSPACE, set_determinism
from fedehr_client.compute.precision import autocast, choose_precision
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import ConfigError

CPU = torch.device("cpu")
CUDA = torch.device("cuda")


def _cpu_with(monkeypatch: pytest.MonkeyPatch, **units: bool) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: units)


def _gpu_of(monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int]) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: "a GPU")


@pytest.mark.parametrize("unit", ["avx512_bf16", "amx_bf16"])
def test_a_cpu_takes_bf16_only_with_units_for_it(
    monkeypatch: pytest.MonkeyPatch, unit: str
) -> None:
    _cpu_with(monkeypatch, **{unit: True, "avx2": True})
    assert choose_precision("auto", CPU) == "bf16"
    assert choose_precision("auto", CPU, hidden=256) == "bf16"
    assert choose_precision("auto", CPU, hidden=64) == "fp32"
    assert choose_precision("bf16", CPU, hidden=64) == "bf16"
    _cpu_with(monkeypatch, **{unit: False, "avx2": True})
    assert choose_precision("auto", CPU) == "fp32"
    with pytest.raises(ConfigError, match=r"precision = 'bf16' and this CPU has no units"):
        choose_precision("bf16", CPU)


@pytest.mark.parametrize(
    ("capability", "expected"), [((9, 0), "bf16"), ((8, 0), "bf16"), ((7, 5), "fp16"),
                                 ((7, 0), "fp16"), ((6, 1), "fp32")]
)  # fmt: skip
def test_a_gpu_takes_what_its_generation_has(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], expected: str
) -> None:
    _gpu_of(monkeypatch, capability)
    assert choose_precision("auto", CUDA) == expected


def test_bf16_on_an_old_gpu_is_refused_with_both_named(monkeypatch: pytest.MonkeyPatch) -> None:
    _gpu_of(monkeypatch, (7, 0))
    with pytest.raises(ConfigError, match=r"'bf16' and a GPU \(compute capability \(7, 0\)\)"):
        choose_precision("bf16", CUDA)
    with pytest.raises(ConfigError, match="fp16"):
        choose_precision("fp16", CPU)


@pytest.mark.parametrize("name", ["varlen", "flex"])
def test_attention_of_a_gpu_is_refused_on_a_cpu(name: str) -> None:
    with pytest.raises(ConfigError, match=f"attention = '{name}' on cpu"):
        choose_compute(ComputeConfig.model_validate({"device": "cpu", "attention": name}))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_an_absent_gpu_is_said_to_be_absent() -> None:
    with pytest.raises(ConfigError, match=r"'cuda' and there is none\. Set \[compute\]"):
        choose_compute(ComputeConfig(device="cuda"))


def test_the_line_of_the_log_names_each_choice() -> None:
    asked = ComputeConfig(
        device="cpu", precision="fp32", attention="padded", checkpointing="on", token_budget=4096
    )
    told = choose_compute(asked).describe()
    assert told.startswith("cpu, ")
    assert told.endswith("fp32, padded attention, checkpointing, 4,096 tokens at once")
    left_open = choose_compute(ComputeConfig(device="cpu", precision="fp32"))
    assert left_open.describe().endswith("fp32, sdpa attention, as many tokens at once as fit")
    assert left_open.to_fit == {"token_budget", "checkpointing"}
    assert choose_compute(asked).to_fit == frozenset()


def test_a_model_that_a_backend_cannot_train_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from fedehr_client.compute.attention import choose_attention

    _gpu_of(monkeypatch, (9, 0))
    study = StudyConfig.model_validate(
        {"name": "s", "model": {"hidden": 60, "heads": 6}, "finetuning": {"tasks": ["a"]}}
    )
    with pytest.raises(ConfigError, match="multiple of 8"):
        choose_attention("varlen", CUDA, "bf16", study)
    assert choose_attention("auto", CUDA, "bf16", None) == "varlen"
    assert choose_attention("auto", CUDA, "bf16", study) in {"flex", "sdpa"}


def test_compiling_without_a_compiler_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(ConfigError, match="no C compiler"):
        choose_compute(ComputeConfig(device="cpu", precision="fp32", compile="on"))
    assert not choose_compute(ComputeConfig(device="cpu", precision="fp32")).compile


def test_a_workspace_that_is_not_deterministic_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WORKSPACE, ":0:0")
    with pytest.raises(ConfigError, match=f"{WORKSPACE} = ':0:0'"):
        set_determinism(True, CUDA)
    assert not torch.are_deterministic_algorithms_enabled()
    monkeypatch.delenv(WORKSPACE)
    try:
        set_determinism(True, CUDA)
        assert os.environ[WORKSPACE] == ":4096:8"
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        set_determinism(False, CUDA)
    assert not torch.are_deterministic_algorithms_enabled()


def test_weights_stay_in_fp32() -> None:
    layer = torch.nn.Linear(4, 4)
    with autocast(CPU, "bf16"):
        out = layer(torch.ones(2, 4))
    assert out.dtype == torch.bfloat16
    out.float().sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.dtype == layer.weight.dtype == torch.float32
    with autocast(CPU, "fp32"):
        assert layer(torch.ones(2, 4)).dtype == torch.float32


def test_choosing_starts_no_cuda_context() -> None:
    """A process that only asks must not take a GPU's memory."""
    code = (
        "import torch\n"
        "from fedehr_client.compute.compute import choose_compute\n"
        "from fedehr_client.compute.config import ComputeConfig\n"
        "choose_compute(ComputeConfig(device='cpu', precision='fp32'))\n"
        "assert not torch.cuda.is_initialized()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
