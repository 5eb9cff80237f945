"""What a private step costs beside the same step without noise, and beside the flat stream.

Base size in fp32 on one thread, the same subjects for all, interleaved in one process, medians
of five rounds, forward, backward and AdamW. `padded` is the same rows with the same pieces and no
clipping by subject; `flat` is the stream that a study without noise trains on, so that `of_flat`
is the true price: padding, clipping and noise together.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import private_steps
import pytest
import torch
from corpus import Corpus

from fedehr_client.training.fitting import CPU_TOKEN_BUDGET
from fedehr_shared.config.masking import MaskingConfig
from fedehr_shared.tokens.masking import MaskedBatch

pytestmark = pytest.mark.benchmark

NUM_ROUNDS = 5
NUM_SUBJECTS, CONTEXT = 16, 512
WAYS = ("flat", "padded", "private")
TIME_BARS = {"pretraining": 2.0, "lora": 1.25}
MEMORY_BARS = {"pretraining": 1.25, "lora": 1.2}
HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def masked(corpus: Corpus) -> MaskedBatch:
    """Subjects that stand for the corpus's, shortest first as a private round sorts them."""
    rows = corpus.typical_rows(NUM_SUBJECTS, CONTEXT)
    rows = rows[np.argsort(corpus.num_events(CONTEXT)[rows], kind="stable")]
    return corpus.masked_batch(rows, CONTEXT, MaskingConfig(), 0)


def test_time_of_a_private_step(
    masked: MaskedBatch, record_figures: Callable[[str, dict[str, Any]], Path]
) -> None:
    figures: dict[str, Any] = {}
    num_events = masked.batch.boundaries[-1] - masked.batch.num_sequences
    for name in TIME_BARS:
        seconds = _interleaved(private_steps.make(name, masked, CONTEXT))
        figures |= {
            f"{name}_{way}_events_a_cpu_second": num_events / statistics.median(taken)
            for way, taken in seconds.items()
        }
        figures |= {
            f"{name}_of_{way}": statistics.median(
                private / other
                for private, other in zip(seconds["private"], seconds[way], strict=True)
            )
            for way in ("padded", "flat")
        }
    record_figures("private_step", figures)
    assert {
        n: figures[f"{n}_of_padded"] for n in TIME_BARS if figures[f"{n}_of_padded"] > TIME_BARS[n]
    } == {}


def _interleaved(work: private_steps.Work) -> dict[str, list[float]]:
    steps = {way: work.step(way, CPU_TOKEN_BUDGET) for way in WAYS}
    for step in steps.values():  # first calls choose kernels and make the moments
        step()
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    for number in range(NUM_ROUNDS):
        for way in WAYS[:: 1 if number % 2 else -1]:
            begin = time.process_time()
            steps[way]()
            seconds[way].append(time.process_time() - begin)
    return seconds


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/status")
def test_memory_of_a_private_step(
    masked: MaskedBatch, tmp_path: Path, record_figures: Callable[[str, dict[str, Any]], Path]
) -> None:
    file = tmp_path / "batch.pt"
    torch.save(masked, file)
    figures: dict[str, Any] = {}
    for name in MEMORY_BARS:
        for way in WAYS:
            figures[f"{name}_{way}_bytes"] = _peak(file, name, way)
        for way in ("padded", "flat"):
            ratio = figures[f"{name}_private_bytes"] / figures[f"{name}_{way}_bytes"]
            figures[f"{name}_of_{way}"] = ratio
    record_figures("private_step_memory", figures)
    assert {
        n: figures[f"{n}_of_padded"]
        for n in MEMORY_BARS
        if figures[f"{n}_of_padded"] > MEMORY_BARS[n]
    } == {}


def _peak(file: Path, name: str, way: str) -> int:
    done = subprocess.run(
        [sys.executable, HERE / "private_step_memory.py", file, name, str(CONTEXT), way],
        # With a fixed threshold glibc gives every large block back at once when it is freed.
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: int = json.loads(done.stdout)
    return found
