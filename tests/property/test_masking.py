"""Hidden positions, and which subjects a step sees."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedehr_client.training.schedule import batch_rows, learning_rate
from fedehr_shared.config.masking import MaskingConfig
from fedehr_shared.config.optimization import OptimizationConfig
from fedehr_shared.tokens.batch import EventBatch
from fedehr_shared.tokens.draws import keyed_draws
from fedehr_shared.tokens.masking import EventMasker
from fedehr_shared.vocabulary.vocabulary import MASK, SPECIAL_TOKENS, START, UNKNOWN

NUM_TOKENS = 500
SINGLE = {"hide_copies": False, "whole_visit_share": 0.0}
# Three codes with three bins each, then codes without values.
CODES = np.concatenate([np.arange(4), 4 + np.repeat(np.arange(3), 4), np.arange(7, 491)])
# Two codes that tell a sex, one of them with bins.
MASKABLE = ~np.isin(CODES, [*range(len(SPECIAL_TOKENS)), 5, 9])


def _batch(sequences: list[list[int]]) -> EventBatch:
    lengths = [1 + len(tokens) for tokens in sequences]
    stream = torch.tensor([token for tokens in sequences for token in (START, *tokens)])
    zeros = torch.zeros(stream.numel())
    boundaries = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    none = zeros.long()
    cu_seqlens = torch.from_numpy(boundaries)
    return EventBatch(stream, zeros, zeros, none, none, cu_seqlens, boundaries.tolist())


def _within(count: int, num: int, share: float) -> bool:
    """Within five standard deviations of a binomial: one false alarm in 1.7 million."""
    return abs(count - num * share) <= 5 * (num * share * (1 - share)) ** 0.5 + 1


@st.composite
def streams(draw: st.DrawFn) -> tuple[EventBatch, NDArray[np.int64]]:
    """Sequences of few codes, so that copies abound, with the stay or day of each event."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    lengths = draw(st.lists(st.integers(0, 20), min_size=1, max_size=5))
    known = [UNKNOWN, *range(4, draw(st.integers(5, 24)))]
    batch = _batch([generator.choice(known, length).tolist() for length in lengths])
    visits = [v for v in range(-3, draw(st.integers(1, 5))) if v != 0]
    numbers = generator.choice(visits, batch.tokens.numel())
    numbers[batch.cu_seqlens[:-1]] = 0
    return batch, numbers


configs = st.builds(
    MaskingConfig,
    rate=st.floats(0.05, 0.95),
    mask_share=st.sampled_from([0.0, 0.5, 0.8]),
    random_share=st.sampled_from([0.0, 0.2]),
    hide_copies=st.booleans(),
    whole_visit_share=st.sampled_from([0.0, 0.3, 1.0]),
)


def _split_mix(seed: int, key: int) -> int:
    """Output number `key` of SplitMix64, in whole numbers."""
    word = 2**64
    z = (seed + key * 0x9E3779B97F4A7C15) % word
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % word
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % word
    return z ^ (z >> 31)


def _slow_mask(
    config: MaskingConfig,
    batch: EventBatch,
    numbers: NDArray[np.int64],
    seed: int,
    *,
    each_alone: bool = False,
) -> tuple[list[int], list[int]]:
    """The tokens shown and the positions hidden, position by position."""
    generator = np.random.default_rng(seed)
    tokens, cuts = batch.tokens.tolist(), batch.cu_seqlens.tolist()
    spans = [range(begin, end) for begin, end in pairwise(cuts)]
    events = [place for place, token in enumerate(tokens) if MASKABLE[token]]
    if config.hide_copies:
        seeds = generator.integers(0, 2**64, len(spans), dtype=np.uint64).tolist()
        draws = [
            _split_mix(seed, (int(numbers[place]) * 2**32 + int(CODES[tokens[place]])) % 2**64)
            for seed, span in zip(seeds, spans, strict=True)
            for place in span
        ]
    else:
        draws = generator.integers(0, 2**64, len(tokens), dtype=np.uint64).tolist()
    whole: set[int] = set()
    whole_spans: list[range] = []
    if config.whole_visit_share:
        asked = generator.random(len(spans)) < config.whole_visit_share
        for span, is_asked in zip(spans, asked, strict=True):
            place = span.start + int(generator.integers(min(1, len(span) - 1), len(span)))
            own = [p for p in events if p in span]
            visit = [p for p in own if numbers[p] == numbers[place]]
            if is_asked and visit and 2 * len(visit) <= len(own):
                whole |= set(visit)
                whole_spans.append(span)
    others = [p for p in events if not any(p in span for span in whole_spans)]
    chance = (config.rate * len(events) - len(whole)) / max(1, len(others))
    chance = config.rate if each_alone else chance
    hidden = sorted(whole | {p for p in others if draws[p] < chance * 2**64})
    for span in spans if each_alone else [range(len(tokens))]:
        own = [p for p in events if p in span]
        if not set(own) & set(hidden):
            hidden += [p for p in own if draws[p] == min(draws[q] for q in own)]
    hidden.sort()
    shown = list(tokens)
    swapped = []
    for place in hidden:
        fate = draws[place] % 2**32 / 2**32
        if fate < config.mask_share:
            shown[place] = MASK
        elif fate < config.mask_share + config.random_share:
            swapped.append(place)
    drawn = generator.integers(len(SPECIAL_TOKENS), CODES.size, len(swapped)).tolist()
    for place, token in zip(swapped, drawn, strict=True):
        shown[place] = token
    return shown, hidden


@settings(deadline=None, max_examples=300)
@given(stream=streams(), config=configs, seed=st.integers(0, 2**32))
def test_masking_is_that_of_the_slow_reference(
    stream: tuple[EventBatch, NDArray[np.int64]], config: MaskingConfig, seed: int
) -> None:
    batch, numbers = stream
    masked = EventMasker(config, CODES, MASKABLE).mask(batch, numbers, np.random.default_rng(seed))
    shown, hidden = _slow_mask(config, batch, numbers, seed)
    assert masked.batch.tokens.tolist() == shown
    assert masked.positions.tolist() == hidden


@settings(deadline=None, max_examples=300)
@given(stream=streams(), config=configs, seed=st.integers(0, 2**32))
def test_only_known_events_are_hidden_and_the_rest_stays(
    stream: tuple[EventBatch, NDArray[np.int64]], config: MaskingConfig, seed: int
) -> None:
    batch, numbers = stream
    before = batch.tokens.clone()
    masker = EventMasker(config, CODES, MASKABLE)
    masked = masker.mask(batch, numbers, np.random.default_rng(seed))
    hidden = masked.positions.tolist()
    assert torch.equal(batch.tokens, before)
    assert hidden == sorted(set(hidden))
    assert masked.targets.tolist() == before[masked.positions].tolist()
    assert MASKABLE[masked.targets.numpy()].all()
    others = [i for i in range(before.numel()) if i not in hidden]
    assert torch.equal(masked.batch.tokens[others], before[others])
    assert bool(hidden) == bool(MASKABLE[before.numpy()].any())
    assert masked.batch.tokens.max() < CODES.size
    again = masker.mask(batch, numbers, np.random.default_rng(seed))
    assert torch.equal(again.batch.tokens, masked.batch.tokens)


@settings(deadline=None, max_examples=300)
@given(stream=streams(), seed=st.integers(0, 2**32), rate=st.floats(0.05, 0.95))
def test_no_copy_of_a_hidden_code_is_left_in_its_visit(
    stream: tuple[EventBatch, NDArray[np.int64]], seed: int, rate: float
) -> None:
    batch, numbers = stream
    tokens = batch.tokens.tolist()
    config = MaskingConfig(rate=rate, random_share=0.0)
    masked = EventMasker(config, CODES, MASKABLE).mask(batch, numbers, np.random.default_rng(seed))
    shown, hidden = masked.batch.tokens.tolist(), set(masked.positions.tolist())
    for begin, end in pairwise(batch.cu_seqlens.tolist()):
        for place in hidden & set(range(begin, end)):
            copies = [
                other for other in range(begin, end)
                if CODES[tokens[other]] == CODES[tokens[place]] and MASKABLE[tokens[other]]
                and numbers[other] == numbers[place]
            ]  # fmt: skip
            assert hidden.issuperset(copies)
            # All of them show [MASK], or all of them themselves: none gives another away.
            assert len({shown[other] == MASK for other in copies}) == 1


@settings(deadline=None, max_examples=200)
@given(stream=streams(), seed=st.integers(0, 2**32), hide_copies=st.booleans())
def test_a_sequence_hides_one_whole_visit_of_at_most_half_of_it(
    stream: tuple[EventBatch, NDArray[np.int64]], seed: int, hide_copies: bool
) -> None:
    batch, numbers = stream
    tokens, codes = batch.tokens.tolist(), CODES[batch.tokens]
    # At this rate what is hidden is visits, or where none fits the one group that must be.
    config = MaskingConfig(rate=1e-9, whole_visit_share=1.0, hide_copies=hide_copies)
    masked = EventMasker(config, CODES, MASKABLE).mask(batch, numbers, np.random.default_rng(seed))
    hidden = set(masked.positions.tolist())
    is_one_group = len({(int(numbers[place]), int(codes[place])) for place in hidden}) <= 1
    for begin, end in pairwise(batch.cu_seqlens.tolist()):
        own = [place for place in range(begin, end) if MASKABLE[tokens[place]]]
        visits = {int(numbers[place]) for place in hidden.intersection(own)}
        if visits and not is_one_group:
            (visit,) = visits
            whole = {place for place in own if numbers[place] == visit}
            assert hidden.intersection(own) == whole
            assert 2 * len(whole) <= len(own)


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    rate=st.sampled_from([0.15, 0.3, 0.6]),
    shares=st.sampled_from([(0.8, 0.1), (1.0, 0.0), (0.0, 1.0), (0.0, 0.0)]),
)
def test_shares_are_those_of_the_study(seed: int, rate: float, shares: tuple[float, float]) -> None:
    config = MaskingConfig(rate=rate, mask_share=shares[0], random_share=shares[1], **SINGLE)
    generator = np.random.default_rng(seed)
    tokens = generator.integers(len(SPECIAL_TOKENS), NUM_TOKENS, 20_000)
    tokens[generator.random(tokens.size) < 0.1] = UNKNOWN
    batch = _batch([tokens.tolist()])
    masked = EventMasker(config, CODES, MASKABLE).mask(batch, None, generator)
    num = masked.positions.numel()
    assert _within(num, int(MASKABLE[tokens].sum()), rate)
    now = masked.batch.tokens[masked.positions]
    is_mask = now == MASK
    same = now == masked.targets
    assert _within(int(is_mask.sum()), num, shares[0])
    # A random token is the old one once in 496 times.
    by_chance = shares[1] / (NUM_TOKENS - len(SPECIAL_TOKENS))
    assert _within(int(same.sum()), num, 1 - sum(shares) + by_chance)


@pytest.mark.parametrize(
    ("rate", "whole_visit_share"),
    [(0.3, 0.0), (0.3, 0.2), (0.3, 0.5), (0.15, 0.0), (0.15, 0.2), (0.6, 0.2)],
)
@pytest.mark.parametrize("hide_copies", [True, False])
def test_the_rate_holds_whatever_the_sizes_of_groups_and_visits(
    rate: float, whole_visit_share: float, hide_copies: bool
) -> None:
    generator = np.random.default_rng(5)
    sizes = generator.integers(1, 120, 60).tolist()
    # Few codes, one far more frequent than the others, in stays of very different sizes.
    tokens = [(4 + generator.zipf(1.5, size) % 20).tolist() for size in sizes]
    batch = _batch(tokens)
    numbers = np.floor(generator.exponential(2.0, batch.tokens.numel())).astype(np.int64) + 1
    numbers[batch.cu_seqlens[:-1]] = 0
    config = MaskingConfig(rate=rate, whole_visit_share=whole_visit_share, hide_copies=hide_copies)
    masker = EventMasker(config, CODES, MASKABLE)
    num_events = int(MASKABLE[batch.tokens.numpy()].sum())
    shares = [
        masker.mask(batch, numbers, np.random.default_rng(seed)).positions.numel() / num_events
        for seed in range(400)
    ]
    error = np.std(shares) / len(shares) ** 0.5
    assert abs(np.mean(shares) - rate) < 5 * error
    assert 0 < error < 0.01


def test_whole_visits_are_as_frequent_as_the_study_asks() -> None:
    """Ten stays of ten different codes a sequence: every stay fits."""
    stay = [4, 12, 16, 17, *range(19, 25)]
    batch = _batch([stay * 10] * 2_000)
    numbers = np.tile(np.concatenate([[0], np.repeat(np.arange(1, 11), 10)]), 2_000)
    config = MaskingConfig(rate=0.3, whole_visit_share=0.2)
    masked = EventMasker(config, CODES, MASKABLE).mask(batch, numbers, np.random.default_rng(3))
    owner, place = np.divmod(masked.positions.numpy(), 101)
    num_hidden = np.bincount(owner, minlength=2_000)
    visits = np.unique(np.stack([owner, numbers[place]]), axis=1)[0]
    is_whole = (num_hidden == 10) & (np.bincount(visits, minlength=2_000) == 1)
    assert _within(int(is_whole.sum()), 2_000, 0.2)
    chosen = numbers[place][is_whole[owner]]
    assert np.unique(chosen).size == 10


def test_draws_are_those_of_splitmix64() -> None:
    """The first outputs for the seed 1234567, as published with the algorithm."""
    keys = np.arange(1, 6, dtype=np.uint64)
    assert keyed_draws(keys, np.asarray([1234567], dtype=np.uint64)).tolist() == [
        6457827717110365317, 3203168211198807973, 9817491932198370423,
        4593380528125082431, 16408922859458223821,
    ]  # fmt: skip


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
    rates = np.asarray(
        [learning_rate(step, rounds * steps, config) for step in range(rounds * steps)]
    )
    top = int(np.argmax(rates))
    assert np.all(rates > 0)
    assert rates[top] <= rate * (1 + 1e-12)
    assert np.all(np.diff(rates[: top + 1]) >= 0)
    assert np.all(np.diff(rates[top:]) <= 1e-12)
    assert rates[top] >= rate * 0.999


@settings(deadline=None, max_examples=200)
@given(stream=streams(), config=configs, seed=st.integers(0, 2**32))
def test_masking_of_each_alone_is_that_of_its_slow_reference(
    stream: tuple[EventBatch, NDArray[np.int64]], config: MaskingConfig, seed: int
) -> None:
    batch, numbers = stream
    masker = EventMasker(config, CODES, MASKABLE, each_alone=True)
    masked = masker.mask(batch, numbers, np.random.default_rng(seed))
    shown, hidden = _slow_mask(config, batch, numbers, seed, each_alone=True)
    assert masked.batch.tokens.tolist() == shown
    assert masked.positions.tolist() == hidden
    is_event = MASKABLE[batch.tokens.numpy()]
    for begin, end in pairwise(batch.boundaries):
        assert any(begin <= p < end for p in hidden) == bool(is_event[begin:end].any())


@pytest.mark.parametrize("each_alone", [False, True])
def test_a_subjects_masks_depend_on_others_unless_each_is_masked_alone(each_alone: bool) -> None:
    """Of a stay of ten codes, how many are hidden beside one whose whole visits are."""
    own = list(range(20, 30))
    other = list(range(100, 400))
    config = MaskingConfig(rate=0.3, whole_visit_share=0.5)
    masker = EventMasker(config, CODES, MASKABLE, each_alone=each_alone)
    shares = []
    for sequences in ([own], [own, other]):
        batch = _batch(sequences)
        # All of the first are of one stay, too large to be hidden whole; the other has two.
        numbers = np.ones(batch.tokens.numel(), dtype=np.int64)
        numbers[len(own) + 150 :] = 2
        numbers[batch.cu_seqlens[:-1]] = 0
        generator = np.random.default_rng(5)
        counts = [
            int((masker.mask(batch, numbers, generator).positions <= len(own)).sum())
            for _ in range(1_500)
        ]
        shares.append(float(np.mean(counts)) / len(own))
    # 15,000 codes a share: a standard deviation of 0.004.
    assert (abs(shares[0] - shares[1]) < 0.03) == each_alone
