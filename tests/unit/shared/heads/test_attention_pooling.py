"""Attention pooling: a softmax over each sequence's own tokens."""

from itertools import pairwise

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedehr_shared.model.heads.pooling import AttentionPooling, pool

HIDDEN = 6


def make_pooling(scale: float) -> AttentionPooling:
    pooling = AttentionPooling(HIDDEN).double()
    with torch.no_grad():
        pooling.query.weight.normal_(std=scale, generator=torch.Generator().manual_seed(2))
    return pooling


@settings(deadline=None)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    scale=st.sampled_from([0.0, 1.0, 300.0]),
    seed=st.integers(0, 999),
)
def test_each_sequence_is_pooled_by_a_softmax_over_its_own_tokens(
    lengths: list[int], scale: float, seed: int
) -> None:
    encoded = torch.randn(
        sum(lengths), HIDDEN, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    ).requires_grad_()
    places = torch.tensor([0, *lengths]).cumsum(0)
    pooling = make_pooling(scale)
    found = pooling(encoded, places)
    parts = [encoded[begin:end] for begin, end in pairwise(places.tolist())]
    shares = [torch.softmax(pooling.query(part)[:, 0], 0) for part in parts]
    expected = torch.stack([own @ part for own, part in zip(shares, parts, strict=True)])
    torch.testing.assert_close(found, expected)
    (gradient,) = torch.autograd.grad(found.square().sum(), encoded, retain_graph=True)
    (wanted,) = torch.autograd.grad(expected.square().sum(), encoded)
    torch.testing.assert_close(gradient, wanted)
    if scale == 0.0:
        torch.testing.assert_close(found, pool(encoded, places, "mean"))


def test_the_query_learns_from_where_it_starts() -> None:
    pooling = make_pooling(0.0)
    encoded = torch.randn(7, HIDDEN, dtype=torch.float64)
    pooling(encoded, torch.tensor([0, 3, 7]))[:, 0].sum().backward()
    assert pooling.query.weight.grad is not None
    assert float(pooling.query.weight.grad.norm()) > 1e-3


def test_it_stays_in_full_precision_under_autocast() -> None:
    pooling = AttentionPooling(HIDDEN)
    encoded, places = torch.randn(9, HIDDEN), torch.tensor([0, 4, 9])
    with torch.autocast("cpu", torch.bfloat16):
        found = pooling(encoded, places)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, pooling(encoded, places), rtol=0, atol=0)
