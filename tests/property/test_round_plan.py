"""Round plans: one schedule over a whole phase, every subject once an epoch, no small round."""

import math
import time
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fedehr_client.training.round_plan import RoundPlan
from fedehr_client.training.schedule import batch_rows
from fedehr_shared.config.optimization import OptimizationConfig
from fedehr_shared.errors import TooFewSubjectsError
from fedehr_shared.seeds import derive_generator

SEED = ("digest", "pretraining", "site")
lengths = st.one_of(
    st.fixed_dictionaries({"steps_per_round": st.integers(1, 12)}),
    st.fixed_dictionaries({"epochs_per_round": st.sampled_from([0.01, 0.3, 0.5, 1.0, 1.7, 2.0])}),
)
batches = st.one_of(
    st.fixed_dictionaries({"steps_per_epoch": st.integers(1, 12)}),
    st.fixed_dictionaries({"batch_subjects": st.integers(1, 50)}),
)


def _plan(config: OptimizationConfig, num: int, number: int = 1, min_cell: int = 1) -> RoundPlan:
    return RoundPlan.of(config, np.arange(num), number, seed=SEED, min_cell=min_cell)


def _config(*parts: dict[str, Any], **more: Any) -> OptimizationConfig:
    return OptimizationConfig(**{k: v for part in parts for k, v in part.items()}, **more)


@given(length=lengths, batch=batches, num=st.integers(1, 60), rounds=st.integers(1, 8))
def test_rounds_follow_each_other_without_a_gap(
    length: Any, batch: Any, num: int, rounds: int
) -> None:
    config = _config(length, batch, rounds=rounds)
    plans = [_plan(config, num, number) for number in range(1, rounds + 1)]
    assert plans[0].first_step == 0
    assert all(a.steps[-1] + 1 == b.first_step for a, b in pairwise(plans))
    assert plans[-1].steps[-1] + 1 == plans[-1].num_total_steps
    assert min(plan.num_steps for plan in plans) >= 1
    if config.epochs_per_round:
        asked = rounds * config.epochs_per_round * plans[0].steps_per_epoch
        assert abs(plans[0].num_total_steps - asked) <= 0.5 or plans[0].num_total_steps == rounds


@given(length=lengths, batch=batches, num=st.integers(1, 60), rounds=st.integers(1, 8))
def test_the_rate_rises_then_falls_and_never_begins_anew(
    length: Any, batch: Any, num: int, rounds: int
) -> None:
    config = _config(length, batch, rounds=rounds, learning_rate=0.5)
    plans = [_plan(config, num, number) for number in range(1, rounds + 1)]
    rates = [plan.learning_rate(step) for plan in plans for step in plan.steps]
    num_steps = plans[0].num_total_steps
    num_warmup = round(0.1 * num_steps)
    assert len(rates) == num_steps
    assert rates[:num_warmup] == sorted(rates[:num_warmup])
    assert rates[num_warmup:] == sorted(rates[num_warmup:], reverse=True)
    assert max(rates) == 0.5
    assert min(rates) > 0
    # One step further the cosine is at zero; no step of it is a jump.
    assert plans[-1].learning_rate(num_steps) == pytest.approx(0)
    falls = [a - b for a, b in pairwise(rates[num_warmup:])]
    assert all(fall <= 0.25 * math.pi / (num_steps - num_warmup) + 1e-9 for fall in falls)


@given(length=lengths, num=st.integers(1, 60), rounds=st.integers(1, 8))
def test_a_constant_rate_stays_after_its_warm_up(length: Any, num: int, rounds: int) -> None:
    config = _config(length, rounds=rounds, learning_rate=0.5, schedule="constant")
    plan = _plan(config, num, rounds)
    num_warmup = round(0.1 * plan.num_total_steps)
    rates = [plan.learning_rate(step) for step in range(plan.num_total_steps)]
    assert rates[:num_warmup] == [0.5 * (i + 1) / num_warmup for i in range(num_warmup)]
    assert set(rates[num_warmup:]) == {0.5}


@given(
    steps=st.integers(1, 30),
    per_epoch=st.integers(1, 30),
    num=st.integers(1, 60),
    rounds=st.integers(1, 20),
    number=st.integers(1, 20),
    warmup=st.sampled_from([0.0, 0.07, 0.1, 0.5]),
)
def test_steps_a_round_and_proportional_batches_are_as_they_always_were(
    *, steps: int, per_epoch: int, num: int, rounds: int, number: int, warmup: float
) -> None:
    """Written out anew, so that studies of earlier releases keep their bits."""
    config = _config(
        rounds=rounds, steps_per_round=steps, steps_per_epoch=per_epoch, warmup_share=warmup
    )
    plan = _plan(config, num, number)
    assert list(plan.steps) == list(range((number - 1) * steps, number * steps))
    for step in plan.steps:
        order = derive_generator(*SEED, "order", step // per_epoch).permutation(num)
        place = step % per_epoch
        begin, end = place * num // per_epoch, (place + 1) * num // per_epoch
        rows = order[begin:end] if end > begin else order[[begin % num]]
        assert plan.rows(step).tolist() == rows.tolist()
        assert plan.epoch(step) == step // per_epoch
        first = round(warmup * (rounds * steps))
        if step < first:
            rate = 3e-3 * (step + 1) / first
        else:
            done = (step - first) / max(1, rounds * steps - first)
            rate = 3e-3 * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
        assert plan.learning_rate(step) == rate


@given(batch=batches, num=st.integers(1, 60), min_cell=st.integers(1, 11))
def test_each_epoch_sees_every_subject(batch: Any, num: int, min_cell: int) -> None:
    assume(num >= min_cell)
    config = _config(batch, {"epochs_per_round": 2.0}, rounds=1)
    plan = _plan(config, num, min_cell=min_cell)
    assert plan.num_steps == 2 * plan.steps_per_epoch
    for epoch in range(2):
        steps = [step for step in plan.steps if plan.epoch(step) == epoch]
        rows = [plan.rows(step) for step in steps]
        assert set(np.concatenate(rows).tolist()) == set(range(num))
        if plan.steps_per_epoch <= num:
            assert sum(part.size for part in rows) == num


@given(num=st.integers(11, 400), more=st.integers(0, 10), size=st.integers(1, 80))
def test_steps_tell_of_a_site_s_size_what_its_told_count_tells(
    num: int, more: int, size: int
) -> None:
    num -= num % 11
    config = _config(batch_subjects=size, epochs_per_round=1.5, rounds=3)
    told = [
        [(p.num_steps, p.steps_per_epoch) for p in (_plan(config, n, r, 11) for r in (1, 2, 3))]
        for n in (num, num + more)
    ]
    assert told[0] == told[1]
    plan = _plan(config, num + more, 1, 11)
    sizes = {plan.rows(step).size for step in plan.steps}
    # The rows that are not told, ten at most, are spread over the batches of an epoch.
    assert max(sizes) <= min(size, num) + math.ceil(10 / plan.steps_per_epoch)


@given(
    subjects=st.lists(st.integers(-1, 12), min_size=1, max_size=40),
    length=lengths,
    batch=batches,
    number=st.integers(1, 4),
    min_cell=st.integers(1, 8),
)
def test_no_round_and_no_clock_rests_on_a_few_subjects(
    subjects: list[int], length: Any, batch: Any, number: int, min_cell: int
) -> None:
    """Rows of one subject count once, rows without events not at all."""
    of_row = np.asarray(subjects)
    config = _config(length, batch, rounds=4)
    try:
        plan = RoundPlan.of(config, of_row, number, seed=SEED, min_cell=min_cell)
    except TooFewSubjectsError:
        free = RoundPlan.of(
            config, np.arange(of_row.size), number, seed=SEED, min_cell=1
        )  # the same rows, unless a batch's size hangs on the count that is told
        if not config.batch_subjects:
            # One row less than so many, a site of the same told count would have been one of few.
            told = of_row.size - of_row.size % min_cell
            rows = np.concatenate([free.rows(s) for s in free.steps])
            longest = max(
                sum(1 for s in free.steps if free.epoch(s) == epoch)
                for epoch in {free.epoch(s) for s in free.steps}
            )
            repeats = told < free.steps_per_epoch
            is_small = (longest - repeats) * told < (min_cell - repeats) * free.steps_per_epoch
            assert is_small or len(set(of_row[rows].tolist()) - {-1}) < min_cell
        return

    def num_seen(num_steps: int) -> int:
        rows = np.concatenate([plan.rows(step) for step in plan.steps[:num_steps]])
        return len(set(of_row[rows].tolist()) - {-1})

    assert 1 <= plan.least_steps <= plan.num_steps
    assert num_seen(plan.least_steps) >= min_cell


@given(
    cells=st.integers(1, 30),
    more=st.integers(1, 10),
    length=lengths,
    per_epoch=st.one_of(st.integers(1, 30), st.integers(900, 1_100)),
    number=st.integers(1, 6),
)
def test_neither_the_clock_nor_a_refusal_tells_a_site_s_exact_size(
    *, cells: int, more: int, length: Any, per_epoch: int, number: int
) -> None:
    """With a clock of no time a site takes exactly its least steps, and reports them."""
    config = _config(length, rounds=6, steps_per_epoch=per_epoch, minutes_per_round=1e-9)

    def told(num: int) -> int | None:
        try:
            return _plan(config, num, number, 11).least_steps
        except TooFewSubjectsError:
            return None

    assert told(11 * cells) == told(11 * cells + more)


def test_few_people_with_many_rows_are_refused_at_once() -> None:
    config = OptimizationConfig(steps_per_epoch=100_000, epochs_per_round=1_000)
    rows = np.repeat(np.arange(10), 3)
    began = time.process_time()
    with pytest.raises(TooFewSubjectsError):
        RoundPlan.of(config, rows, 1, seed=SEED, min_cell=11)
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    "config",
    [
        {"steps_per_round": 1, "batch_subjects": 1},
        {"steps_per_round": 10, "batch_subjects": 1},
        {"epochs_per_round": 0.01, "batch_subjects": 4},
        {"epochs_per_round": 0.001, "steps_per_epoch": 100_000},
        {"steps_per_round": 3, "steps_per_epoch": 100_000},
    ],
)
def test_batches_of_a_few_subjects_are_refused(config: Any) -> None:
    with pytest.raises(TooFewSubjectsError, match="min_cell = 11"):
        _plan(OptimizationConfig(rounds=5, **config), 500, 3, min_cell=11)


def test_a_plan_reads_its_clock_in_seconds() -> None:
    assert _plan(OptimizationConfig(minutes_per_round=1.5), 50).deadline_seconds == 90.0
    assert _plan(OptimizationConfig(), 50).deadline_seconds is None


def test_a_site_without_subjects_has_no_plan() -> None:
    with pytest.raises(TooFewSubjectsError, match="no subject"):
        _plan(OptimizationConfig(), 0)


def test_orders_of_epochs_differ_and_repeat() -> None:
    first = [batch_rows(50, step, 2, *SEED).tolist() for step in range(4)]
    assert first[:2] != first[2:]
    assert first == [batch_rows(50, step, 2, *SEED).tolist() for step in range(4)]
