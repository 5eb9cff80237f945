"""Rounds with kept moments are one long round of plain AdamW, whatever is killed between."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from torch import nn

from fedehr_client.training.schedule import learning_rate
from fedehr_shared.config.optimization import OptimizationConfig
from fedehr_shared.model.weights import load_parameters, parameters_of

PROGRAM = Path(__file__).with_name("kept_site.py")
NUM_STEPS = 8


def _network() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 24), nn.Tanh(), nn.Linear(24, 4))


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """First weights in a file."""
    torch.manual_seed(3)
    file = tmp_path / "first.safetensors"
    save_file(parameters_of(_network()), file)
    return file


def _round(first: Path, last: Path, **asked: Any) -> int:
    about = {
        "work": str(first.parent / "work"), "first": str(first), "last": str(last), "rounds": 2,
        "steps": NUM_STEPS // 2, "state": "kept", "kill": "never", **asked,
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, str(PROGRAM), json.dumps(about)], capture_output=True, check=False
    )
    assert done.returncode in {0, -signal.SIGKILL}, done.stderr.decode()
    return done.returncode


def _plain_adamw(first: Path) -> dict[str, bytes]:
    """The same steps by a loop that knows of no rounds."""
    torch.set_num_threads(1)
    model = _network()
    load_parameters(model, load_file(first))
    config = OptimizationConfig(rounds=1, steps_per_round=NUM_STEPS)
    rule = torch.optim.AdamW(
        model.parameters(), lr=1.0, betas=(0.9, 0.98), weight_decay=0.01, fused=True
    )
    for step in range(NUM_STEPS):
        rule.param_groups[0]["lr"] = learning_rate(step, NUM_STEPS, config)
        inputs = torch.randn(32, 8, generator=torch.Generator().manual_seed(step))
        rule.zero_grad(set_to_none=False)
        loss = (model(inputs) - inputs[:, :4].sin() * 3).square().mean()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(model.parameters(), config.max_grad_norm)
        rule.step()
    return _bits(parameters_of(model))


def _bits(tensors: Any) -> dict[str, bytes]:
    return {name: np.ascontiguousarray(array).tobytes() for name, array in tensors.items()}


def test_two_rounds_with_kills_are_one_round_of_plain_adamw(first: Path) -> None:
    between, last = first.with_name("between.safetensors"), first.with_name("last.safetensors")
    # Killed within the round: nothing is kept. Killed once it was kept: asked for again, the
    # round starts where it started.
    assert _round(first, between, round=1, kill="inside") == -signal.SIGKILL
    assert not list((first.parent / "work").rglob("*.safetensors"))
    assert _round(first, between, round=1, kill="after") == -signal.SIGKILL
    assert not between.exists()
    assert _round(first, between, round=1) == 0
    assert _round(between, last, round=2, kill="inside") == -signal.SIGKILL
    assert _round(between, last, round=2) == 0
    assert _bits(load_file(last)) == _plain_adamw(first)
