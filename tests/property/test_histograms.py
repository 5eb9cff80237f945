"""Histograms that leave a site, and the cuts read from their sum."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedehr_shared.vocabulary.grid import LARGEST, NUM_EDGES, bin_of, value_at
from fedehr_shared.vocabulary.histogram import (
    MAX_BINS,
    MergedHistogram,
    merge_bins,
    quantile_cuts,
)

bins_lists = st.lists(st.integers(0, NUM_EDGES - 1), max_size=300)
clumped = st.lists(st.integers(8_000, 8_030), min_size=1, max_size=300)
cells = st.integers(1, 40)


def _merge(bins: Sequence[int] | NDArray[np.integer], min_cell: int) -> MergedHistogram | None:
    """One grid bin a subject, in any order."""
    places, sizes = np.unique(np.asarray(bins, dtype=np.int64), return_counts=True)
    return merge_bins(places, sizes, min_cell)


@settings(deadline=None)
@given(bins=bins_lists | clumped, min_cell=cells)
def test_merged_bins_hold_enough_and_tell_no_extreme(bins: list[int], min_cell: int) -> None:
    places = np.asarray(bins, dtype=np.int32)
    merged = _merge(places, min_cell)
    if merged is None:
        # Too few subjects for two bins of whole places.
        order = np.sort(places)
        first = order[min_cell - 1] if order.size >= min_cell else None
        if order.size <= MAX_BINS * min_cell:
            assert first is None or int((order > first).sum()) < min_cell
        return
    assert list(merged.edges) == sorted(set(merged.edges))
    inner = np.asarray(merged.edges[1:-1])
    exact = np.bincount(np.searchsorted(inner, places, side="right"), minlength=inner.size + 1)
    assert exact.sum() == len(bins)
    assert exact.min() >= min_cell
    assert min(merged.counts) >= min_cell
    assert exact.size <= MAX_BINS
    told = np.cumsum(exact) // min_cell * min_cell
    assert np.cumsum(merged.counts).tolist() == told.tolist()


@settings(deadline=None)
@given(bins=clumped, min_cell=st.integers(2, 20), low=st.integers(0, 50), high=st.integers(0, 50))
def test_how_far_out_the_least_and_the_greatest_lie_changes_nothing(
    bins: list[int], min_cell: int, low: int, high: int
) -> None:
    places = np.sort(np.asarray(bins, dtype=np.int32))
    spread = places.copy()
    spread[0] -= low
    spread[-1] += high
    before, after = _merge(places, min_cell), _merge(spread, min_cell)
    alone = (places == places[0]).sum() == 1 and (places == places[-1]).sum() == 1
    if alone:
        assert after == before


@settings(deadline=None)
@given(bins=clumped, min_cell=cells, seed=st.integers(0, 99))
def test_the_order_of_subjects_changes_no_bin(bins: list[int], min_cell: int, seed: int) -> None:
    places = np.asarray(bins, dtype=np.int32)
    shuffled = np.random.default_rng(seed).permutation(places)
    assert _merge(places, min_cell) == _merge(shuffled, min_cell)


@settings(deadline=None)
@given(
    values=st.lists(st.floats(-1e9, 1e9, width=32) | st.floats(-1, 1, width=32), min_size=2),
)
def test_bins_rise_with_values(values: list[float]) -> None:
    bins = bin_of(np.sort(np.asarray(values)))
    assert np.all(np.diff(bins) >= 0)
    assert bins.min() >= 0
    assert bins.max() < NUM_EDGES


@settings(deadline=None)
@given(edge=st.integers(1, NUM_EDGES - 2))
def test_an_edge_is_where_its_bin_begins(edge: int) -> None:
    at = value_at(edge)
    step = value_at(edge + 1) - at
    assert bin_of(np.asarray([at + step / 2]))[0] == edge
    assert bin_of(np.asarray([at - step / 100]))[0] == edge - 1
    assert abs(at) <= LARGEST


def test_values_beyond_the_grid_and_infinities_fall_into_the_end_bins() -> None:
    values = np.asarray([-np.inf, -1e30, 1e30, np.inf])
    assert bin_of(values).tolist() == [0, 0, NUM_EDGES - 1, NUM_EDGES - 1]


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10_000),
    num_sites=st.integers(1, 5),
    num_bins=st.integers(2, 20),
    middle=st.floats(0.1, 500.0),
)
def test_cuts_are_quantiles_of_the_pooled_values(
    seed: int, num_sites: int, num_bins: int, middle: float
) -> None:
    generator = np.random.default_rng(seed)
    sites = [generator.normal(middle, middle / 8, 4_000) for _ in range(num_sites)]
    merged = [_merge(bin_of(values), 11) for values in sites]
    cuts = quantile_cuts([h for h in merged if h is not None], num_bins)
    assert len(cuts) == num_bins - 1
    shares = np.searchsorted(np.asarray(cuts), bin_of(np.concatenate(sites)), side="right")
    counts = np.bincount(shares, minlength=num_bins) / shares.size
    # A bin of the merged histogram holds 11 of 4,000 and a grid bin about as many.
    assert counts == pytest.approx(np.full(num_bins, 1 / num_bins), abs=0.012)
    exact = np.quantile(np.concatenate(sites), np.arange(1, num_bins) / num_bins)
    assert np.abs(np.asarray(cuts) - bin_of(exact)).max() <= 3


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10_000), spread=st.floats(0.02, 2.0), num_bins=st.sampled_from([5, 10, 20])
)
def test_the_cap_moves_no_quantile_of_a_large_site_by_more_than_one_grid_bin(
    seed: int, spread: float, num_bins: int
) -> None:
    places = bin_of(np.random.default_rng(seed).lognormal(1.0, spread, 20_000))
    merged = _merge(places, 11)
    assert merged is not None
    assert len(merged.counts) <= MAX_BINS
    heaviest = np.bincount(places).max() / places.size
    for number, cut in enumerate(quantile_cuts([merged], num_bins), start=1):
        below = (places < cut).mean()
        assert below == pytest.approx(number / num_bins, abs=heaviest + 11 / places.size)


@settings(deadline=None)
@given(
    histograms=st.lists(clumped, min_size=1, max_size=5),
    num_bins=st.integers(2, 20),
    min_cell=st.integers(1, 5),
)
def test_cuts_rise_inside_and_no_order_of_two_sites_matters(
    histograms: list[list[int]], num_bins: int, min_cell: int
) -> None:
    found = [_merge(np.asarray(h, dtype=np.int32), min_cell) for h in histograms]
    merged = [h for h in found if h is not None]
    if not merged:
        return
    cuts = quantile_cuts(merged, num_bins)
    assert list(cuts) == sorted(set(cuts))
    assert len(cuts) < num_bins
    assert all(min(h.edges[0] for h in merged) < c for c in cuts)
    assert all(c < max(h.edges[-1] for h in merged) for c in cuts)
    assert quantile_cuts(merged[:2], num_bins) == quantile_cuts(merged[:2][::-1], num_bins)


@settings(deadline=None)
@given(count=st.integers(1, 1_000), num_bins=st.integers(2, 20), place=st.integers(0, 99))
def test_a_single_value_has_no_cut(count: int, num_bins: int, place: int) -> None:
    assert quantile_cuts([MergedHistogram((place, place + 1), (count,))], num_bins) == ()
