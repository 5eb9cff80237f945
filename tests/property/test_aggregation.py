"""Aggregation of adapters against float64 references that multiply every product out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedehr_server.aggregation.adapter_aggregation import AggregatedAdapters
from fedehr_server.aggregation.making import make_aggregation
from fedehr_shared.config.lora import LoraConfig
from fedehr_shared.model.lora.fold import apply_fold, check_fold
from fedehr_shared.model.lora.vera_projections import draw_projections
from fedehr_shared.wire.payload import Arrays

METHODS = ("average", "frozen_a", "alternating", "reprojection", "stacking")
EXACT = ("reprojection", "stacking")
SEED = 7
Dense = dict[str, NDArray[np.float64]]


@dataclass(frozen=True, repr=False)
class Case:
    """A round: weights before it, and each site's update and weight."""

    lora: LoraConfig
    round_number: int
    weights: Arrays
    sites: list[tuple[str, Arrays, int]]

    def run(self, sites: list[tuple[str, Arrays, int]] | None = None) -> AggregatedAdapters:
        aggregation = make_aggregation(
            self.lora,
            self.weights,
            total_weight=sum(weight for _, _, weight in self.sites),
            seed=SEED,
            round_number=self.round_number,
        )
        for site, update, weight in sites or self.sites:
            aggregation.add(site, update, weight)
        return aggregation.close()

    @property
    def base(self) -> Arrays:
        return {n: w for n, w in self.weights.items() if ".lora_" not in n and ".vera_" not in n}

    def changes(self, adapters: Mapping[str, NDArray[Any]]) -> Dense:
        """What adapters add to each matrix, scaled and multiplied out."""
        return {name: _change(self, name.removesuffix(".weight"), adapters) for name in self.base}

    @property
    def ideal(self) -> Dense:
        total = sum(weight for _, _, weight in self.sites)
        summed = {name: np.zeros(value.shape) for name, value in self.base.items()}
        for _, update, weight in self.sites:
            after = {
                name: value + np.float64(1) * update.get(name, np.float64(0))
                for name, value in self.weights.items()
            }
            for name, change in self.changes(after).items():
                summed[name] += weight / total * change
        return summed


def _change(case: Case, matrix: str, adapters: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
    layer = int(matrix.split(".")[2])
    if case.lora.variant == "vera":
        d, b = adapters[f"{matrix}.vera_d.weight"], adapters[f"{matrix}.vera_b.weight"]
        shapes = [w.shape for w in case.base.values()]
        sizes = max(s[1] for s in shapes), max(s[0] for s in shapes)
        first, second = draw_projections(*sizes, _most_rank(case.lora), SEED)
        num_out, num_in = case.base[f"{matrix}.weight"].shape
        left = b[:, None].astype(np.float64) * second[:num_out, : d.size]
        return np.asarray(left @ (d[:, None].astype(np.float64) * first[: d.size, :num_in]))
    a = adapters[f"{matrix}.lora_A.weight"].astype(np.float64)
    b = adapters[f"{matrix}.lora_B.weight"].astype(np.float64)
    return np.asarray(case.lora.scale_of(layer) * b @ a)


def _most_rank(lora: LoraConfig) -> int:
    return max(lora.layer_ranks) if lora.layer_ranks else lora.rank


def _norm(changes: Dense) -> float:
    return float(np.sqrt(sum(np.sum(np.square(change)) for change in changes.values())))


def _minus(one: Mapping[str, NDArray[Any]], other: Mapping[str, NDArray[Any]]) -> Dense:
    return {name: np.float64(1) * one[name] - other[name] for name in one}


def _moves(lora: LoraConfig, round_number: int, name: str) -> bool:
    if ".lora_A." in name:
        odd = lora.aggregation == "alternating" and round_number % 2 == 1
        return not odd and lora.aggregation != "frozen_a"
    even = lora.aggregation == "alternating" and round_number % 2 == 0
    return ".vera_" in name or (".lora_B." in name and not even)


def _make_case(
    lora: LoraConfig,
    *,
    num_sites: int,
    round_number: int = 2,
    shapes: tuple[tuple[int, int], ...] = ((12, 9), (9, 12)),
    first_b: float = 0.3,
    seed: int = 0,
) -> Case:
    """`shapes`: of `q` and `down` in every layer."""
    generator = np.random.default_rng(seed)

    def drawn(shape: tuple[int, ...], size: float) -> NDArray[np.float32]:
        return (generator.standard_normal(shape) * size).astype(np.float32)

    weights: Arrays = {}
    for layer in range(len(lora.layer_ranks) or 2):
        rank = lora.rank_of(layer)
        for module, (num_out, num_in) in zip(("q", "down"), shapes, strict=True):
            matrix = f"encoder.blocks.{layer}.{module}"
            weights[f"{matrix}.weight"] = drawn((num_out, num_in), 0.3)
            if rank and lora.variant == "lora":
                weights[f"{matrix}.lora_A.weight"] = drawn((rank, num_in), 0.3)
                weights[f"{matrix}.lora_B.weight"] = drawn((num_out, rank), first_b)
            elif rank:
                weights[f"{matrix}.vera_d.weight"] = drawn((rank,), 0.3)
                weights[f"{matrix}.vera_b.weight"] = drawn((num_out,), first_b)
            else:
                del weights[f"{matrix}.weight"]
    moving = [name for name in weights if _moves(lora, round_number, name)]
    sites = [
        (
            f"site-{number}",
            {name: drawn(weights[name].shape, 0.1) for name in moving},
            int(generator.integers(1, 500)),
        )
        for number in range(num_sites)
    ]
    return Case(lora, round_number, weights, sites)


@st.composite
def _cases(draw: st.DrawFn, methods: tuple[str, ...] = METHODS) -> Case:
    layer_ranks = draw(st.sampled_from([(), (3, 1), (0, 4), (2, 0, 5)]))
    lora = LoraConfig.model_validate(
        {
            "aggregation": draw(st.sampled_from(methods)),
            "rank": draw(st.integers(1, 9)),
            "alpha": draw(st.sampled_from([0.5, 8.0, 32.0])),
            "rank_stabilized": draw(st.booleans()),
            "layer_ranks": layer_ranks,
            "target_modules": ("q", "down"),
        }
    )
    return _make_case(
        lora,
        num_sites=draw(st.integers(1, 12)),
        round_number=draw(st.integers(1, 4)),
        first_b=draw(st.sampled_from([0.0, 0.3])),
        seed=draw(st.integers(0, 10**6)),
    )


def _vera(num_sites: int = 4, seed: int = 0, layer_ranks: tuple[int, ...] = ()) -> Case:
    lora = LoraConfig(variant="vera", rank=5, layer_ranks=layer_ranks, target_modules=("q", "down"))
    return _make_case(lora, num_sites=num_sites, seed=seed)


@settings(deadline=None, max_examples=60)
@given(_cases(EXACT))
def test_base_and_adapters_together_are_the_old_base_and_the_sum_of_products(case: Case) -> None:
    done = case.run()
    new_base = apply_fold(case.base, done.fold or {})
    effective = case.changes(done.adapters)
    for name, ideal in case.ideal.items():
        wanted = case.base[name] + ideal
        size = np.abs(case.base[name]).max() + np.abs(ideal).max()
        np.testing.assert_allclose(new_base[name] + effective[name], wanted, atol=1e-6 * size)


@settings(deadline=None, max_examples=60)
@given(_cases())
def test_the_error_is_that_of_the_products_multiplied_out(case: Case) -> None:
    done = case.run()
    folded = apply_fold({n: np.zeros_like(w) for n, w in case.base.items()}, done.fold or {})
    before, effective = case.changes(case.weights), case.changes(done.adapters)
    change = {n: effective[n] + folded[n] - before[n] for n in before}
    ideal = _minus(case.ideal, before)
    if _norm(ideal) == 0:  # A moves while B is zero
        assert done.error == 0
        return
    missed = _norm(_minus(change, ideal)) / _norm(ideal)
    assert done.error == pytest.approx(missed, rel=1e-3, abs=3e-6)
    if case.lora.aggregation == "average" and len(case.sites) > 2:
        assert done.error > 1e-3
    if case.lora.aggregation != "average":
        assert done.error < 1e-5


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 8), st.integers(0, 10**6), st.sampled_from([(), (5, 2), (0, 3)]))
def test_the_error_of_averaged_vectors_is_that_of_matrices_multiplied_out(
    num_sites: int, seed: int, layer_ranks: tuple[int, ...]
) -> None:
    case = _vera(num_sites, seed, layer_ranks)
    done = case.run()
    before = case.changes(case.weights)
    ideal = _minus(case.ideal, before)
    change = _minus(case.changes(done.adapters), before)
    missed = _norm(_minus(change, ideal)) / _norm(ideal)
    assert done.error == pytest.approx(missed, rel=1e-3, abs=3e-6)
    assert done.fold is None


@settings(deadline=None, max_examples=40)
@given(_cases(), st.randoms(use_true_random=False))
def test_the_order_of_arrival_changes_no_bit(case: Case, random: Any) -> None:
    turned = list(case.sites)
    random.shuffle(turned)
    one, other = case.run(), case.run(turned)
    assert one.error == other.error
    for mine, theirs in ((one.adapters, other.adapters), (one.fold or {}, other.fold or {})):
        assert {n: v.tobytes() for n, v in mine.items()} == {
            n: v.tobytes() for n, v in theirs.items()
        }


def test_the_order_of_arrival_changes_no_bit_of_vectors() -> None:
    case = _vera(5)
    one, other = case.run(), case.run(case.sites[::-1])
    assert one.error == other.error
    assert all(np.array_equal(one.adapters[n], other.adapters[n]) for n in one.adapters)


@settings(deadline=None, max_examples=30)
@given(_cases(("average", "frozen_a", "alternating")))
def test_factors_that_are_averaged_move_by_the_weighted_mean(case: Case) -> None:
    done = case.run()
    total = sum(weight for _, _, weight in case.sites)
    for name, value in done.adapters.items():
        told = [(u[name], w) for _, u, w in case.sites if name in u]
        mean = sum((np.float64(1) * change * weight / total for change, weight in told), 0.0)
        np.testing.assert_allclose(value, case.weights[name] + mean, rtol=1e-6, atol=1e-7)
    assert done.fold is None


@settings(deadline=None, max_examples=30)
@given(_cases(EXACT))
def test_a_fold_passes_the_check_of_a_site_and_is_no_larger_than_needed(case: Case) -> None:
    done = case.run()
    shapes = {name: value.shape for name, value in case.base.items()}
    check_fold(done.fold or {}, shapes, case.lora, len(case.sites))
    # Every later round starts from adapters of the same names and shapes.
    adapters = {n: w.shape for n, w in case.weights.items() if ".lora_" in n}
    assert {n: v.shape for n, v in done.adapters.items()} == adapters


@settings(deadline=None, max_examples=30)
@given(_cases(("reprojection",)))
def test_adapters_are_the_best_of_their_rank_and_balanced(case: Case) -> None:
    done = case.run()
    effective = case.changes(done.adapters)
    for name, ideal in case.ideal.items():
        matrix = name.removesuffix(".weight")
        a, b = (done.adapters[f"{matrix}.lora_{part}.weight"] for part in "AB")
        sizes = np.linalg.svd(ideal, compute_uv=False)
        left_out = float(np.sqrt(np.sum(sizes[len(a) :] ** 2)))
        assert np.linalg.norm(effective[name] - ideal) == pytest.approx(
            left_out, abs=1e-5 * sizes[0]
        )
        used = np.linalg.norm(b, axis=0) > 0
        gram_b, gram_a = b[:, used].T @ b[:, used], a[used] @ a[used].T
        np.testing.assert_allclose(gram_b, gram_a, atol=1e-5 * sizes[0])


@pytest.mark.parametrize("method", EXACT)
def test_a_direction_that_nothing_uses_can_still_learn(method: str) -> None:
    """Where B and A were both zero, the gradients of both would be zero for ever."""
    lora = LoraConfig(aggregation=method, rank=4, target_modules=("q", "down"))  # type: ignore[arg-type]
    case = _make_case(lora, num_sites=2, first_b=0.0)
    still = [
        (site, {n: np.zeros_like(v) for n, v in update.items()}, weight)
        for site, update, weight in case.sites
    ]
    done = case.run(still)
    assert (done.error, done.fold) == (0.0, None)
    for name, value in done.adapters.items():
        assert (np.linalg.norm(value, axis=1) > 0).all() == (".lora_A." in name)


def test_adapters_that_start_anew_differ_by_round_and_matrix_and_are_the_same_again() -> None:
    lora = LoraConfig(aggregation="stacking", rank=3, target_modules=("q", "down"))
    case = _make_case(lora, num_sites=3, round_number=1)
    first, again = case.run().adapters, case.run().adapters
    later = Case(lora, 2, case.weights, case.sites).run().adapters
    drawn = [n for n in first if ".lora_A." in n]
    assert all(np.array_equal(first[n], again[n]) for n in first)
    assert not any(np.array_equal(first[n], later[n]) for n in drawn)
    assert len({first[n].tobytes() for n in drawn}) == len(drawn)
    assert not any(first[n].any() for n in first if ".lora_B." in n)
