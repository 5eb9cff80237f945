"""The estimate of memory: near what a step really takes, and the right way up."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from fedehr_client.compute.compute import Compute
from fedehr_client.compute.free_memory import free_bytes
from fedehr_client.compute.memory import estimate_memory
from fedehr_shared.config.study import StudyConfig

PROGRAM = Path(__file__).with_name("measured_memory.py")
CPU = Compute(torch.device("cpu"))


@pytest.mark.long
@pytest.mark.parametrize(
    ("size", "num_tokens", "tuning"),
    [
        ("tiny", 16_384, ""), ("small", 8_192, ""), ("base", 4_096, ""), ("base", 4_096, "full"),
        ("base", 4_096, "lora"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("checkpointing", ["off", "on"])
def test_the_estimate_is_near_the_measured_peak(
    size: str, num_tokens: int, tuning: str, checkpointing: str
) -> None:
    done = subprocess.run(
        [sys.executable, PROGRAM, size, checkpointing, str(num_tokens), tuning],
        capture_output=True, text=True, check=False, timeout=300,
        # Each block goes back to the system when it is freed: what is counted is in use.
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    measured, estimated = map(int, done.stdout.split())
    assert estimated == pytest.approx(measured, rel=0.35)


def _study(**changes: Any) -> StudyConfig:
    values = {"name": "m", "model": {"size": "base"}, "finetuning": {"tasks": ["a"]}}
    return StudyConfig.model_validate({**values, **changes})


def test_the_parts_of_the_estimate() -> None:
    found = estimate_memory(_study(), "pretraining", 8_192, CPU)
    assert found.moments == 2 * found.weights == 2 * found.received / 3
    fresh = _study(pretraining={"optimizer_state": "fresh"})
    assert estimate_memory(fresh, "pretraining", 8_192, CPU).received == found.weights
    kept = estimate_memory(_study(), "pretraining", 8_192, replace(CPU, checkpointing=True))
    assert kept.activations < found.activations / 2
    low = estimate_memory(_study(), "pretraining", 8_192, replace(CPU, precision="bf16"))
    assert low.activations < found.activations
    varlen = estimate_memory(_study(), "pretraining", 8_192, replace(CPU, attention="varlen"))
    assert varlen.activations < found.activations
    assert estimate_memory(_study(), "finetuning", 8_192, CPU).logits == 0
    hidden = _study(objective={"kind": "masked_autoencoder"})
    encoded = estimate_memory(hidden, "pretraining", 8_192, CPU)
    assert encoded.activations < found.activations
    assert encoded.logits > 2 * found.logits
    heads = _study(finetuning={"tasks": ["a"], "tuning": "probe"})
    frozen = estimate_memory(heads, "finetuning", 8_192, CPU)
    assert frozen.moments < found.moments / 100
    assert frozen.token_bytes < found.token_bytes / 2


def test_tokens_within_is_the_total_turned_round() -> None:
    found = estimate_memory(_study(), "pretraining", 8_192, CPU)
    for num_tokens in (0, 512, 100_000):
        assert abs(found.tokens_within(found.total_bytes(num_tokens)) - num_tokens) <= 1
    assert found.tokens_within(0) == 0
    told = found.describe(2_048)
    assert "2,048 tokens at once" in told
    assert all(part in told for part in ("weights", "gradients", "moments", "activations"))


def test_free_memory_is_no_more_than_the_machine_has() -> None:
    import psutil

    assert 0 < free_bytes(torch.device("cpu")) <= psutil.virtual_memory().total
