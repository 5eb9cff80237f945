"""Hidden positions, and which subjects a step sees."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedehr_client.training.schedule import batch_rows, learning_rate
from fedehr_shared.config.masking import MaskingConfig
from fedehr_shared.config.study import OptimizationConfig
from fedehr_shared.tokens.batch import EventBatch
from fedehr_shared.tokens.masking import EventMasker
from fedehr_shared.vocabulary.vocabulary import MASK, SPECIAL_TOKENS, START, UNKNOWN

NUM_TOKENS = 500


def _batch(tokens: list[int]) -> EventBatch:
    stream = torch.tensor([START, *tokens])
    zeros = torch.zeros(stream.numel())
    return EventBatch(stream, zeros, zeros, zeros.long(), torch.tensor([0, stream.numel()]))


def _within(count: int, num: int, share: float) -> bool:
    """Within five standard deviations of a binomial: one false alarm in 1.7 million."""
    return abs(count - num * share) <= 5 * (num * share * (1 - share)) ** 0.5 + 1


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    rate=st.sampled_from([0.15, 0.3, 0.6]),
    shares=st.sampled_from([(0.8, 0.1), (1.0, 0.0), (0.0, 1.0), (0.0, 0.0)]),
)
def test_shares_are_those_of_the_study(seed: int, rate: float, shares: tuple[float, float]) -> None:
    config = MaskingConfig(rate=rate, mask_share=shares[0], random_share=shares[1])
    generator = np.random.default_rng(seed)
    tokens = generator.integers(len(SPECIAL_TOKENS), NUM_TOKENS, 20_000)
    tokens[generator.random(tokens.size) < 0.1] = UNKNOWN
    batch = _batch(tokens.tolist())
    masked = EventMasker(config, NUM_TOKENS).mask(batch, generator)
    num = masked.positions.numel()
    assert _within(num, int((tokens != UNKNOWN).sum()), rate)
    now = masked.batch.tokens[masked.positions]
    is_mask = now == MASK
    same = now == masked.targets
    assert _within(int(is_mask.sum()), num, shares[0])
    # A random token is the old one once in 496 times.
    by_chance = shares[1] / (NUM_TOKENS - len(SPECIAL_TOKENS))
    assert _within(int(same.sum()), num, 1 - sum(shares) + by_chance)


@settings(deadline=None)
@given(
    tokens=st.lists(st.sampled_from([UNKNOWN, 4, 5, 6, 499]), max_size=40),
    seed=st.integers(0, 999),
    rate=st.floats(0.01, 0.99),
)
def test_only_known_events_are_hidden_and_the_rest_stays(
    tokens: list[int], seed: int, rate: float
) -> None:
    batch = _batch(tokens)
    before = batch.tokens.clone()
    masker = EventMasker(MaskingConfig(rate=rate), NUM_TOKENS)
    masked = masker.mask(batch, np.random.default_rng(seed))
    hidden = masked.positions.tolist()
    assert torch.equal(batch.tokens, before)
    assert hidden == sorted(set(hidden))
    assert masked.targets.tolist() == before[masked.positions].tolist()
    assert all(t >= len(SPECIAL_TOKENS) for t in masked.targets.tolist())
    others = [i for i in range(before.numel()) if i not in hidden]
    assert torch.equal(masked.batch.tokens[others], before[others])
    assert bool(hidden) == any(t != UNKNOWN for t in tokens)
    again = masker.mask(batch, np.random.default_rng(seed))
    assert torch.equal(again.batch.tokens, masked.batch.tokens)


@settings(deadline=None)
@given(num_rows=st.integers(1, 200), steps=st.integers(1, 60), epoch=st.integers(0, 5))
def test_an_epoch_sees_each_row_once_whatever_the_size(
    num_rows: int, steps: int, epoch: int
) -> None:
    batches = [
        batch_rows(num_rows, step, steps, "digest", "site")
        for step in range(epoch * steps, (epoch + 1) * steps)
    ]
    seen = np.concatenate(batches)
    assert set(seen.tolist()) == set(range(num_rows))
    assert min(b.size for b in batches) >= 1
    if num_rows >= steps:
        assert seen.size == num_rows
        assert max(b.size for b in batches) - min(b.size for b in batches) <= 1
    again = batch_rows(num_rows, epoch * steps, steps, "digest", "site")
    assert again.tolist() == batches[0].tolist()


def test_epochs_and_sites_have_orders_of_their_own() -> None:
    orders = {
        tuple(batch_rows(50, epoch, 1, "digest", site).tolist())
        for epoch in range(3)
        for site in ("a", "b")
    }
    assert len(orders) == 6


@settings(deadline=None)
@given(
    rounds=st.integers(1, 30),
    steps=st.integers(1, 30),
    warmup=st.floats(0, 1),
    rate=st.floats(1e-6, 1),
)
def test_one_rise_then_one_fall_over_the_whole_phase(
    rounds: int, steps: int, warmup: float, rate: float
) -> None:
    config = OptimizationConfig(
        rounds=rounds, steps_per_round=steps, warmup_share=warmup, learning_rate=rate
    )
    rates = np.asarray([learning_rate(step, config) for step in range(rounds * steps)])
    top = int(np.argmax(rates))
    assert np.all(rates > 0)
    assert rates[top] <= rate * (1 + 1e-12)
    assert np.all(np.diff(rates[: top + 1]) >= 0)
    assert np.all(np.diff(rates[top:]) <= 1e-12)
    assert rates[top] >= rate * 0.999
