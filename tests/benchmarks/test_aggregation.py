"""Aggregating adapters: time, and memory at the coordinator, against the dense way.

Base size: rank 8 on q and v of 6 layers of 256 x 256. The dense way adds up every site's product
as a matrix and decomposes that. 8 and 100 sites; CPU seconds, one thread, interleaved, medians.
"""

import statistics
import time
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fedehr_server.aggregation.making import make_aggregation
from fedehr_shared.config.lora import LoraConfig
from fedehr_shared.wire.payload import Arrays

pytestmark = pytest.mark.benchmark
HIDDEN, LAYERS, RANK = 256, 6, 8
NUM_SITES = (8, 100)
METHODS = ("average", "frozen_a", "alternating", "reprojection", "stacking")
REPEATS = 5
MATRICES = [f"encoder.blocks.{layer}.{module}" for layer in range(LAYERS) for module in "qv"]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """NumPy's library of linear algebra has its own threads."""
    threadpoolctl = pytest.importorskip("threadpoolctl")
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpoolctl.threadpool_limits(1):
        yield
    torch.set_num_threads(num_threads)


def _weights() -> Arrays:
    generator = np.random.default_rng(0)
    weights: Arrays = {}
    for matrix in MATRICES:
        for name, shape in (
            ("weight", (HIDDEN, HIDDEN)),
            ("lora_A.weight", (RANK, HIDDEN)),
            ("lora_B.weight", (HIDDEN, RANK)),
        ):
            weights[f"{matrix}.{name}"] = _drawn(generator, shape)
    return weights


def _drawn(generator: np.random.Generator, shape: tuple[int, ...]) -> Any:
    return (generator.standard_normal(shape) * 0.05).astype(np.float32)


def _updates(method: str, num_sites: int) -> Iterator[Arrays]:
    """One after the other, as they arrive; nothing of them stays in memory by itself."""
    generator = np.random.default_rng(1)
    parts = ("lora_B",) if method in {"frozen_a", "alternating"} else ("lora_A", "lora_B")
    for _ in range(num_sites):
        yield {
            f"{matrix}.{part}.weight": _drawn(
                generator, (RANK, HIDDEN) if part == "lora_A" else (HIDDEN, RANK)
            )
            for matrix in MATRICES
            for part in parts
        }


def _ours(method: str, weights: Arrays, num_sites: int) -> Any:
    lora = LoraConfig.model_validate({"rank": RANK, "aggregation": method})
    return make_aggregation(lora, weights, total_weight=num_sites, seed=0, round_number=1)


class _Dense:
    """Every site's product as a `[hidden, hidden]` matrix, and one decomposition of the sum."""

    def __init__(self, weights: Arrays, num_sites: int) -> None:
        self._weights = weights
        self._num_sites = num_sites
        self._sums = {matrix: np.zeros((HIDDEN, HIDDEN)) for matrix in MATRICES}

    def add(self, site: str, update: Arrays, weight: int) -> None:
        for matrix in MATRICES:
            a, b = (
                np.add(self._weights[name], update[name], dtype=np.float64)
                for name in (f"{matrix}.lora_A.weight", f"{matrix}.lora_B.weight")
            )
            self._sums[matrix] += b @ a * (weight / self._num_sites)

    def close(self) -> list[Any]:
        found = []
        for total in self._sums.values():
            u, sizes, v = np.linalg.svd(total)
            found.append((u[:, :RANK] * sizes[:RANK], v[:RANK], (u * sizes) @ v))
        return found


def _seconds(aggregation: Any, updates: list[Arrays]) -> dict[str, float]:
    began = time.process_time()
    for number, update in enumerate(updates):
        aggregation.add(f"site-{number:03d}", update, 1)
    added = time.process_time()
    aggregation.close()
    return {"add": added - began, "close": time.process_time() - added}


def _peak_megabytes(aggregation: Any, method: str, num_sites: int) -> float:
    """Of what is allocated while a round goes on, beyond one update."""
    tracemalloc.start()
    for number, update in enumerate(_updates(method, num_sites)):
        aggregation.add(f"site-{number:03d}", update, 1)
    aggregation.close()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak / 1e6


def test_time_and_memory_against_the_dense_way(
    record_figures: Callable[[str, dict[str, Any]], Path],
) -> None:
    weights, figures = _weights(), {}
    for num_sites in NUM_SITES:
        makers: dict[str, Callable[[], Any]] = {
            method: partial(_ours, method, weights, num_sites) for method in METHODS
        }
        makers["dense"] = partial(_Dense, weights, num_sites)
        updates = {method: list(_updates(method, num_sites)) for method in makers}
        times: dict[str, list[dict[str, float]]] = {method: [] for method in makers}
        for _ in range(REPEATS):
            for method, make in makers.items():
                times[method].append(_seconds(make(), updates[method]))
        for method, make in makers.items():
            figures[f"{num_sites}_sites_{method}"] = {
                "add_milliseconds_a_site": 1e3
                * statistics.median(taken["add"] for taken in times[method])
                / num_sites,
                "close_milliseconds": 1e3 * statistics.median(t["close"] for t in times[method]),
                "peak_megabytes": _peak_megabytes(make(), method, num_sites),
            }
    record_figures("aggregation", figures)
    for method in ("average", "frozen_a", "alternating"):
        few, many = (figures[f"{num}_sites_{method}"]["peak_megabytes"] for num in NUM_SITES)
        assert many < 1.1 * few + 0.5
    factors = sum(2 * RANK * HIDDEN * 4 for _ in MATRICES) / 1e6
    for method in ("reprojection", "stacking"):
        few, many = (figures[f"{num}_sites_{method}"]["peak_megabytes"] for num in NUM_SITES)
        assert many < few + (NUM_SITES[1] - NUM_SITES[0]) * factors * 1.2 + 25
        exact, dense = figures[f"8_sites_{method}"], figures["8_sites_dense"]
        # The sites' factors are tall while there are few of them: the case that studies have.
        assert exact["close_milliseconds"] < dense["close_milliseconds"]
