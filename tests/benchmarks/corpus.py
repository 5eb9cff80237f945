"""The corpus of the throughput benchmarks, as a token store: 2 M events that nobody lived.

8,193 subjects of lognormal length (median 117), Zipf codes, values on 47 % of events, stays of
40 events with a third of the events outside any. 300 codes with ten value bins and 4,888 without
make 8,192 tokens. The lengths are assumed, and every padding ratio depends on them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fedehr_shared.config.masking import MaskingConfig
from fedehr_shared.tokens.back_off import BackOffShares
from fedehr_shared.tokens.batch import EventBatch
from fedehr_shared.tokens.collate import collate, episodes
from fedehr_shared.tokens.masking import EventMasker, MaskedBatch
from fedehr_shared.tokens.store import TokenStore
from fedehr_shared.tokens.windows import Windows
from fedehr_shared.vocabulary.vocabulary import SPECIAL_TOKENS

NUM_SUBJECTS, NUM_TOKENS = 8_193, 8_192
_SEED = 20_261_123


@dataclass(frozen=True)
class Corpus:
    """A store with what masking needs beside it.

    Attributes:
        store: the tokens, memory-mapped.
        code_of_token: `[vocabulary]` int64, the number of each token's code.
    """

    store: TokenStore
    code_of_token: NDArray[np.int64]

    @property
    def rows(self) -> NDArray[np.int64]:
        """All subjects. `[subjects]` int64."""
        return np.arange(self.store.num_subjects)

    @property
    def is_maskable(self) -> NDArray[np.bool_]:
        """Which tokens may be hidden: all but the special ones. `[vocabulary]`."""
        return np.arange(NUM_TOKENS) >= len(SPECIAL_TOKENS)

    def num_events(self, context: int) -> NDArray[np.int64]:
        """Events of each subject within a context, which `[START]` shares. `[subjects]`."""
        return np.minimum(np.diff(self.store.offsets), context - 1)

    def typical_rows(self, num: int, context: int) -> NDArray[np.int64]:
        """`num` subjects that stand for all: of many draws the one whose sums of lengths and
        of squared lengths within the context are nearest to the corpus's (in the larger of the
        two relative errors). So padding and attention weigh as in the whole corpus, though few
        subjects are timed. `[num]` int64, rising."""
        lengths = self.num_events(context).astype(np.float64)
        generator = np.random.default_rng((_SEED, num, context))
        num_draws = min(50_000, 10_000_000 // num)
        draws = generator.integers(0, lengths.size, (num_draws, num))
        errors = [
            np.abs((lengths[draws] ** power).mean(axis=1) / (lengths**power).mean() - 1)
            for power in (1, 2)
        ]
        return np.sort(draws[np.maximum(*errors).argmin()])

    def masked_batch(
        self, rows: NDArray[np.int64], context: int, masking: MaskingConfig, seed: int
    ) -> MaskedBatch:
        """The latest events of these subjects, masked as a site masks them."""
        ends = np.asarray(self.store.offsets[rows + 1], dtype=np.int64)
        windows = Windows(ends - self.num_events(context)[rows], ends)
        masker = EventMasker(masking, self.code_of_token, self.is_maskable)
        return masker.mask(
            collate(self.store, windows),
            episodes(self.store, windows),
            np.random.default_rng((_SEED, seed)),
        )


def single_sequence(length: int) -> MaskedBatch:
    """One subject of `length` made-up tokens, every third of them hidden."""
    stream = EventBatch(
        torch.randint(4, NUM_TOKENS, (length,)), torch.rand(length).cumsum(0), torch.rand(length),
        torch.zeros(length, dtype=torch.int64), torch.zeros(length, dtype=torch.int64),
        torch.tensor([0, length]), [0, length],
    )  # fmt: skip
    positions = torch.arange(0, length, 3)
    return MaskedBatch.of(stream, positions, stream.tokens[positions].clone())


def make_corpus(folder: Path) -> Corpus:
    """Write the corpus's arrays to `folder` and map them, as a store's are."""
    generator = np.random.default_rng(_SEED)
    lengths = np.exp(generator.normal(np.log(117), 1.2124, NUM_SUBJECTS)).astype(np.int64)
    lengths = lengths.clip(1, 5_000)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    hours, visits = _stays(generator, offsets)
    begins = generator.integers(10**15, 16 * 10**14, NUM_SUBJECTS)
    times = np.repeat(begins, lengths) + (hours * 3.6e9).astype(np.int64)
    tokens, code_of_token = _tokens(generator, int(offsets[-1]))
    arrays = {
        "tokens": tokens,
        "times": times,
        "hours": hours.astype(np.float32),
        "visits": visits,
        "offsets": offsets,
        "subject_ids": np.arange(NUM_SUBJECTS),
        "first_ages": generator.uniform(0, 90, NUM_SUBJECTS).astype(np.float32),
        "sexes": generator.integers(0, 4, NUM_SUBJECTS, dtype=np.uint8),
    }
    mapped: dict[str, Any] = {}
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
        mapped[name] = np.load(folder / f"{name}.npy", mmap_mode="r")
    store = TokenStore(**mapped, back_off=BackOffShares(1.0, 0.0, 0.0, 0.0))
    return Corpus(store, code_of_token)


def _stays(
    generator: np.random.Generator, offsets: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Hours since the subject's first event, and stays of 40 events with a third outside any."""
    size = int(offsets[-1])
    parts = generator.random(size) < 1 / 40
    gaps = np.where(parts, generator.exponential(2_000, size), generator.exponential(1.5, size))
    clock, number = np.cumsum(gaps), np.cumsum(parts)
    lengths = np.diff(offsets)
    hours = clock - np.repeat(clock[offsets[:-1]], lengths)
    ordinals = number - np.repeat(number[offsets[:-1]], lengths) + 1
    outside = generator.random(int(number[-1]) + 1) < 1 / 3
    return hours, np.where(outside[number], 0, ordinals).astype(np.int32)


def _tokens(
    generator: np.random.Generator, size: int
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    chances = 1 / np.arange(1, 5_189) ** 1.05
    codes = generator.choice(5_188, size, p=chances / chances.sum())
    widths = np.where(np.arange(5_188) < 300, 11, 1)
    first = 4 + np.cumsum(widths) - widths
    can_have = codes < 300
    valued = can_have & (generator.random(size) < 0.47 / can_have.mean())
    tokens = first[codes] + np.where(valued, generator.integers(1, 11, size), 0)
    code_of_token = np.concatenate([np.arange(4), 4 + np.repeat(np.arange(5_188), widths)])
    assert code_of_token.size == NUM_TOKENS
    return tokens.astype(np.int32), code_of_token
