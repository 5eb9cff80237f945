"""Rotary positions: exact over a lifetime, and about time apart alone."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedehr_shared.model.rotary import (
    LONGEST_PERIOD_HOURS,
    SHORTEST_PERIOD_HOURS,
    rotary_angles,
    rotate,
)

HOURS_PER_YEAR = 8_766
LIFETIME = 90 * HOURS_PER_YEAR


@given(hours=st.lists(st.floats(0, LIFETIME, width=32), min_size=1, max_size=50))
def test_turns_are_exact_over_a_lifetime(hours: list[float]) -> None:
    cos, sin = rotary_angles(torch.tensor(hours), 64)
    periods = np.geomspace(
        np.longdouble(SHORTEST_PERIOD_HOURS), np.longdouble(LONGEST_PERIOD_HOURS), 32
    )
    turns = np.asarray(hours, dtype=np.longdouble)[:, None] / periods
    angles = 2 * np.pi * (turns - np.floor(turns))
    assert cos.dtype == sin.dtype == torch.float32
    np.testing.assert_allclose(cos[:, 0].numpy(), np.cos(angles).astype(float), atol=1e-6)
    np.testing.assert_allclose(sin[:, 0].numpy(), np.sin(angles).astype(float), atol=1e-6)


@given(later=st.integers(0, LIFETIME), apart=st.integers(0, 2 * HOURS_PER_YEAR))
def test_only_the_time_between_two_events_counts(later: int, apart: int) -> None:
    torch.manual_seed(1)
    query, key = torch.randn(2, 1, 2, 32)
    scores = []
    for begin in (0, later):
        turns = rotary_angles(torch.tensor([begin, begin + apart]).float(), 32)
        (cos_q, cos_k), (sin_q, sin_k) = turns[0][:, None], turns[1][:, None]
        scores.append((rotate(query, cos_q, sin_q) * rotate(key, cos_k, sin_k)).sum(-1))
    torch.testing.assert_close(*scores, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_what_is_turned_keeps_its_type_and_length(dtype: torch.dtype) -> None:
    cos, sin = rotary_angles(torch.rand(20) * LIFETIME, 16)
    x = torch.randn(20, 3, 16, dtype=dtype)
    turned = rotate(x, cos, sin)
    assert turned.dtype == dtype
    assert not torch.equal(turned, x)
    torch.testing.assert_close(
        turned.float().norm(dim=-1), x.float().norm(dim=-1), atol=0, rtol=1e-2
    )


def test_a_head_of_one_pair_turns_once_an_hour() -> None:
    cos, _ = rotary_angles(torch.tensor([0.0, 0.5, 1.0]), 2)
    torch.testing.assert_close(cos[:, 0, 0], torch.tensor([1.0, -1.0, 1.0]))
