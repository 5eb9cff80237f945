"""NT-Xent against a plain reference, view by view, and what it must not depend on."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedehr_shared.model.objectives.contrastive import nt_xent

WIDTH = 5


def _directions(num_subjects: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(2 * num_subjects, WIDTH, generator=generator)
    return torch.nn.functional.normalize(drawn, dim=1)


def _slowly(directions: torch.Tensor, group: int, temperature: float) -> float:
    """Equation 1 of Chen et al. 2020, one view after the other, in float64."""
    views = directions.double().tolist()
    total = 0.0
    for number, view in enumerate(views):
        partner = number + 1 if number % 2 == 0 else number - 1
        first = number // (2 * group) * 2 * group
        others = [k for k in range(first, min(first + 2 * group, len(views))) if k != number]
        scores = {k: np.dot(view, views[k]) / temperature for k in others}
        highest = max(scores.values())
        spread = sum(math.exp(score - highest) for score in scores.values())
        total += math.log(spread) + highest - scores[partner]
    return total


sizes = st.tuples(st.integers(1, 13), st.integers(2, 6))


@settings(deadline=None, max_examples=200)
@given(size=sizes, temperature=st.sampled_from([0.05, 0.1, 1.0]), seed=st.integers(0, 999))
def test_the_loss_is_that_of_the_slow_reference(
    size: tuple[int, int], temperature: float, seed: int
) -> None:
    num_subjects, group = size
    directions = _directions(num_subjects, seed)
    found = float(nt_xent(directions, group, temperature))
    expected = _slowly(directions, group, temperature)
    assert found == pytest.approx(expected, rel=1e-5, abs=1e-5)


@settings(deadline=None)
@given(num_groups=st.integers(1, 5), group=st.integers(2, 5), seed=st.integers(0, 999))
def test_the_order_within_and_among_groups_changes_nothing(
    num_groups: int, group: int, seed: int
) -> None:
    directions = _directions(num_groups * group, seed)
    generator = np.random.default_rng(seed)
    subjects = directions.reshape(num_groups, group, 2, WIDTH)
    for number in range(num_groups):
        subjects[number] = subjects[number][generator.permutation(group)]
    shuffled = subjects[generator.permutation(num_groups)].flip(2).reshape(-1, WIDTH)
    found, expected = (float(nt_xent(d, group, 0.1)) for d in (shuffled, directions))
    assert found == pytest.approx(expected, rel=1e-5)


@settings(deadline=None)
@given(size=st.tuples(st.integers(2, 13), st.integers(2, 6)), seed=st.integers(0, 999))
def test_views_that_match_cost_less_than_views_of_others(size: tuple[int, int], seed: int) -> None:
    num_subjects, group = size
    num_subjects -= num_subjects % group == 1
    one = _directions(num_subjects, seed)[::2]
    matching = one.repeat_interleave(2, dim=0)
    # Each subject's second view is that of its neighbor in the group.
    neighbor = torch.arange(num_subjects)
    for first in range(0, num_subjects, group):
        neighbor[first : first + group] = neighbor[first : first + group].roll(1)
    mixed = torch.stack([one, one[neighbor]], dim=1).reshape(-1, WIDTH)
    assert float(nt_xent(matching, group, 0.1)) < float(nt_xent(mixed, group, 0.1))


@settings(deadline=None)
@given(num=st.integers(2, 8), seed=st.integers(0, 999))
def test_views_that_are_all_alike_cost_the_logarithm_of_their_number(num: int, seed: int) -> None:
    alike = _directions(1, seed)[:1].expand(2 * num, -1)
    assert float(nt_xent(alike, num, 0.1)) == pytest.approx(2 * num * math.log(2 * num - 1))


def test_a_subject_alone_costs_nothing_and_pulls_nowhere() -> None:
    directions = _directions(1, 0).requires_grad_()
    loss = nt_xent(directions, 4, 0.1)
    loss.backward()  # type: ignore[no-untyped-call]
    assert float(loss.detach()) == 0.0
    assert directions.grad is not None
    assert not directions.grad.any()


def test_another_group_has_no_say() -> None:
    directions = _directions(6, 3).requires_grad_()
    alone = nt_xent(directions[:6], 3, 0.1)
    (gradient,) = torch.autograd.grad(nt_xent(directions, 3, 0.1), directions)
    (own,) = torch.autograd.grad(alone, directions)
    torch.testing.assert_close(gradient[:6], own[:6])
    assert not own[6:].any()
