"""Private randomness: what it is like, and that nothing steers or repeats it."""

import ast
import copy
import inspect
import math
import os
import pickle
import random
import threading
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
import torch

import fedehr_client
import fedehr_shared
from fedehr_client.privacy import randomness as module
from fedehr_client.privacy.randomness import PrivateRandomness

CPU = torch.device("cpu")
SIZE = 200_000


def _distance_to_normal(values: np.ndarray) -> float:
    """Kolmogorov's statistic."""
    ordered = np.sort(values)
    expected = np.array([NormalDist().cdf(x) for x in ordered])
    ranks = np.arange(1, values.size + 1) / values.size
    return float(np.abs(ranks - expected).max())


def test_normal_numbers_are_normal_in_every_place_and_their_pairs_independent() -> None:
    found = PrivateRandomness().normal((SIZE,), CPU)
    assert found.dtype == torch.float64
    halves = found[: SIZE // 2].numpy(), found[SIZE // 2 :].numpy()
    bound = 2.2 / math.sqrt(SIZE / 2)  # passed by chance once in 8,000 times
    assert all(_distance_to_normal(half) < bound for half in halves)
    # Both numbers of a pair share a radius: neither they nor their squares tell of each other.
    for power in (1, 2):
        correlation = np.corrcoef(halves[0] ** power, halves[1] ** power)[0, 1]
        assert abs(correlation) < 5 / math.sqrt(SIZE / 2)


def test_the_tails_of_the_normal_numbers_reach_beyond_nine_deviations() -> None:
    words = torch.tensor([0, 1, -1, 2**62, -(2**63), 2**63 - 1], dtype=torch.int64)
    found = module._normal_of(words, torch.zeros_like(words))
    assert bool(found.isfinite().all())
    assert float(found.max()) == pytest.approx(math.sqrt(2 * 64 * math.log(2)), rel=1e-9)


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 5), (0,), (7, 3, 1)])
def test_any_shape_is_drawn(shape: tuple[int, ...]) -> None:
    assert PrivateRandomness().normal(shape, CPU).shape == shape


def test_uniform_numbers_and_poisson_rows_have_their_shares() -> None:
    drawn = PrivateRandomness()
    numbers = drawn.uniform(SIZE)
    assert numbers.min() >= 0
    assert numbers.max() < 1
    counts = np.histogram(numbers, bins=20, range=(0, 1))[0]
    expected = SIZE / 20
    assert ((counts - expected) ** 2 / expected).sum() < 60  # 19 degrees of freedom
    rows = drawn.poisson_rows(SIZE, 0.05)
    assert np.all(np.diff(rows) > 0)
    assert abs(rows.size - 0.05 * SIZE) < 5 * math.sqrt(0.05 * 0.95 * SIZE)
    assert drawn.poisson_rows(50, 1.0).tolist() == list(range(50))
    assert drawn.poisson_rows(0, 0.5).size == 0


def test_seeds_of_others_change_nothing_and_no_two_objects_agree() -> None:
    seen = set()
    for _ in range(4):
        torch.manual_seed(1)
        np.random.seed(1)
        random.seed(1)
        drawn = PrivateRandomness()
        seen.add(drawn.uniform(4).tobytes())
        seen.add(drawn.normal((4,), CPU).numpy().tobytes())
        seen.add(drawn.generator().random(4).tobytes())
        seen.add(drawn.seed())
    assert len(seen) == 16


def test_a_fork_draws_other_numbers() -> None:
    drawn = PrivateRandomness()
    drawn.uniform(1)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, drawn.uniform(8).tobytes())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 64) != drawn.uniform(8).tobytes()
    os.close(reader)
    os.close(writer)


def test_threads_draw_other_numbers() -> None:
    drawn, seen = PrivateRandomness(), []
    threads = [
        threading.Thread(target=lambda: seen.extend(drawn.uniform(100).tolist())) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(seen)) == 800


def test_it_cannot_be_copied_or_written() -> None:
    drawn = PrivateRandomness()
    for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="never copied"):
            attempt(drawn)


def test_a_key_is_replaced_before_its_stream_is_used_up(monkeypatch: pytest.MonkeyPatch) -> None:
    keys: list[bytes] = []

    def urandom(size: int) -> bytes:
        keys.append(os.getrandom(size))
        return keys[-1]

    monkeypatch.setattr(module, "_BYTES_PER_KEY", 64)
    monkeypatch.setattr(module.os, "urandom", urandom)
    drawn = PrivateRandomness()
    seen = [drawn.uniform(8).tobytes() for _ in range(5)]
    assert len(set(seen)) == len(set(keys)) == 5


def test_nothing_can_be_passed_in_that_would_steer_it() -> None:
    assert list(inspect.signature(PrivateRandomness).parameters) == []
    source = Path(inspect.getsourcefile(module) or "").read_text(encoding="utf-8")
    words = {node.attr for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute)}
    assert not words & {"environ", "getenv", "manual_seed", "derive_seed", "derive_generator"}
    modules = [n.module for n in ast.walk(ast.parse(source)) if isinstance(n, ast.ImportFrom)]
    assert not any(name and name.startswith("fedehr") for name in modules)


def test_no_code_of_a_site_puts_other_randomness_in_its_place() -> None:
    """Classes that override it are for tests alone, and so is handing one over."""
    for package in (fedehr_client, fedehr_shared):
        for file in Path(package.__file__ or "").parent.rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ClassDef):
                    bases = [b.id for b in node.bases if isinstance(b, ast.Name)]
                    assert "PrivateRandomness" not in bases, file
                is_call = isinstance(node, ast.Call)
                if is_call and getattr(node.func, "id", "") == "PrivateRandomness":
                    assert not node.args, file
                    assert not node.keywords, file
                if is_call and getattr(node.func, "id", "") == "RoundContext":
                    assert "randomness" not in {keyword.arg for keyword in node.keywords}, file
