"""Cutting windows out of a `TokenStore` and joining them into an `EventBatch`."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from fedehr_shared.tokens.batch import MAX_VISITS, EventBatch
from fedehr_shared.tokens.sequences import MICROSECONDS_PER_HOUR
from fedehr_shared.tokens.store import TokenStore
from fedehr_shared.vocabulary.vocabulary import START


@dataclass(frozen=True)
class Window:
    """A stretch of one subject's tokens: rows `begin` to `end` of the store."""

    begin: int
    end: int


def window_before(store: TokenStore, row: int, time: int, context: int) -> Window:
    """The subject's latest tokens at or before `time` (inclusive, as MEDS defines it)."""
    begin, end = int(store.offsets[row]), int(store.offsets[row + 1])
    end = begin + int(np.searchsorted(store.times[begin:end], time, side="right"))
    return Window(max(begin, end - (context - 1)), end)


def random_window(
    store: TokenStore, row: int, context: int, generator: np.random.Generator
) -> Window:
    """All of the subject's tokens, or a random stretch of them where they exceed `context`."""
    begin, end = int(store.offsets[row]), int(store.offsets[row + 1])
    length = min(end - begin, context - 1)
    begin += int(generator.integers(0, end - begin - length + 1))
    return Window(begin, begin + length)


def collate(store: TokenStore, windows: Sequence[Window]) -> EventBatch:
    """Join windows into one stream, `[START]` before each."""
    lengths = np.asarray([1 + w.end - w.begin for w in windows], dtype=np.int64)
    cu_seqlens = np.concatenate([[0], np.cumsum(lengths)])
    is_start = np.zeros(int(cu_seqlens[-1]), dtype=bool)
    is_start[cu_seqlens[:-1]] = True
    rows = np.concatenate([np.arange(w.begin, w.end) for w in windows]).astype(np.int64)
    first = np.asarray([store.times[w.begin] if w.end > w.begin else 0 for w in windows])
    hours = (store.times[rows] - np.repeat(first, lengths - 1)) / MICROSECONDS_PER_HOUR
    ages = np.nan_to_num(np.asarray(store.ages[rows]), nan=0.0) / 100.0
    return EventBatch(
        tokens=_spread(store.tokens[rows], is_start, START, torch.int64),
        hours=_spread(hours, is_start, 0.0, torch.float32),
        ages=_spread(ages, is_start, 0.0, torch.float32),
        visits=_spread(np.minimum(store.visits[rows], MAX_VISITS - 1), is_start, 0, torch.int64),
        cu_seqlens=torch.from_numpy(cu_seqlens),
    )


def _spread(
    values: NDArray[np.generic], is_start: NDArray[np.bool_], start: float, dtype: torch.dtype
) -> torch.Tensor:
    """Put `values` at the positions that are no start, and `start` at those that are."""
    spread = np.full(is_start.size, start, dtype=np.float64)
    spread[~is_start] = values
    return torch.from_numpy(spread).to(dtype)
