"""The codec's speed a core and its memory, beside npz, pickle, torch.save and NumPy's bytes.

Gigabytes are of float32: taken in by encoding, given out by decoding. CPU seconds of one thread,
interleaved, medians. Memory is that of a process of its own, the result included.
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

import pytest
import torch
from codec_formats import FORMATS, make_model

pytestmark = pytest.mark.benchmark
HERE = Path(__file__).parent
NUM_PARAMETERS = 25_000_000
REPEATS = 5
DEFAULT = "ours_fp16"
LEAST_GIGABYTES_A_SECOND = 1.0
MOST_EXTRA_MEMORY = 1.2


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """One core, as the figures say."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(num_threads)


def test_speed_a_core(record_figures: Callable[[str, dict[str, Any]], Path]) -> None:
    model = make_model(NUM_PARAMETERS)
    gigabytes = sum(array.nbytes for array in model.values()) / 1e9
    seconds: dict[str, list[tuple[float, float]]] = {who: [] for who in FORMATS}
    sizes: dict[str, float] = {}
    for _ in range(REPEATS):
        for who, (encode, decode) in FORMATS.items():
            began = time.process_time()
            data = encode(model)
            encoded = time.process_time()
            decode(data)
            seconds[who].append((encoded - began, time.process_time() - encoded))
            sizes[who] = len(data) / 1e9 / gigabytes
    figures = {
        who: {
            "encode_gigabytes_a_second": gigabytes / statistics.median(e for e, _ in taken),
            "decode_gigabytes_a_second": gigabytes / statistics.median(d for _, d in taken),
            "size_to_fp32": sizes[who],
        }
        for who, taken in seconds.items()
    }
    record_figures("codec", figures)
    for way in ("encode", "decode"):
        assert figures[DEFAULT][f"{way}_gigabytes_a_second"] >= LEAST_GIGABYTES_A_SECOND


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/status")
def test_memory_of_a_hundred_million_parameters(
    record_figures: Callable[[str, dict[str, Any]], Path],
) -> None:
    wanted = ("ours_fp16", "ours_fp16_plain", "ours_int8", "ours_fp32", "npz_fp32", "torch_fp16")
    figures = {who: _measured(who) for who in wanted}
    record_figures("codec_memory", figures)
    for who, told in figures.items():
        if who.startswith("ours"):
            assert max(told["encode"], told["decode"]) <= MOST_EXTRA_MEMORY


def _measured(who: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, str(HERE / "codec_memory.py"), who],
        capture_output=True, text=True, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    told: dict[str, float] = json.loads(done.stdout)
    return told
