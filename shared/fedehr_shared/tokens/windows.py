"""`Windows`: stretches of subjects' tokens in a `TokenStore`, as arrays."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.tokens.store import TokenStore

Kind = TypeVar("Kind", bound=np.generic)


@dataclass(frozen=True)
class Window:
    """A stretch of one subject's tokens: places `begin` to `end` of the store."""

    begin: int
    end: int


@dataclass(frozen=True)
class Windows:
    """Several stretches, each of one subject, and the stream that they make end to end.

    Attributes:
        begins: `[windows]` int64, the first place of each in the store.
        ends: `[windows]` int64, one past its last; equal to its beginning where it is empty.
    """

    begins: NDArray[np.int64]
    ends: NDArray[np.int64]

    @classmethod
    def of(cls, windows: Iterable[Window]) -> "Windows":
        """Windows named one by one."""
        pairs = np.asarray([(w.begin, w.end) for w in windows], dtype=np.int64).reshape(-1, 2)
        return cls(pairs[:, 0], pairs[:, 1])

    def __len__(self) -> int:
        """The number of windows."""
        return int(self.begins.size)

    def __iter__(self) -> Iterator[Window]:
        """The windows one by one."""
        return map(Window, self.begins.tolist(), self.ends.tolist())

    @overload
    def __getitem__(self, which: int) -> Window: ...

    @overload
    def __getitem__(self, which: slice | NDArray[np.int64]) -> "Windows": ...

    def __getitem__(self, which: int | slice | NDArray[np.int64]) -> "Window | Windows":
        """One window by its number, or several."""
        if isinstance(which, slice | np.ndarray):
            return Windows(self.begins[which], self.ends[which])
        return Window(int(self.begins[which]), int(self.ends[which]))

    @cached_property
    def cu_seqlens(self) -> NDArray[np.int64]:
        """Where each sequence begins in the stream, with one place for its `[START]`.

        Shape: `[windows + 1]`.
        """
        boundaries = np.zeros(len(self) + 1, dtype=np.int64)
        np.cumsum(self.ends - self.begins + 1, out=boundaries[1:])
        return boundaries

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """Where the `[START]`s stand in the stream. Shape: `[windows]`."""
        return self.cu_seqlens[:-1]

    @cached_property
    def places(self) -> NDArray[np.int64]:
        """The store's place behind each position of the stream.

        At a `[START]` it is the one before the window's first, -1 at the store's very first.

        Shape: `[tokens]`.
        """
        places = self.spread(self.begins - self.starts - 1)
        places += np.arange(places.size)
        return places

    def spread(self, values: NDArray[Kind]) -> NDArray[Kind]:
        """A window's value at each of its positions in the stream. `[windows]` to `[tokens]`."""
        return np.repeat(values, np.diff(self.cu_seqlens))


def windows_before(
    store: TokenStore, rows: NDArray[np.int64], times: NDArray[np.int64], context: int
) -> Windows:
    """Each subject's latest tokens known at or before its time (inclusive, as MEDS defines it).

    At most `context - 1`, which with `[START]` is `context`. A row of -1, a subject that the
    store does not hold, has an empty window.

    Args:
        store: the tokens.
        rows: `[windows]`, the subjects' rows.
        times: `[windows]`, microseconds since 1970.
        context: the longest sequence, in tokens.
    """
    held = rows >= 0
    begins = np.where(held, store.offsets[rows], 0).astype(np.int64)
    low, high = begins.copy(), np.where(held, store.offsets[rows + 1], 0).astype(np.int64)
    # All bisections at once: a subject's times rise.
    while (active := low < high).any():
        middle = (low + high) // 2
        known = np.zeros_like(active)
        known[active] = store.times[middle[active]] <= times[active]
        low = np.where(active & known, middle + 1, low)
        high = np.where(active & ~known, middle, high)
    return Windows(np.maximum(begins, low - (context - 1)), low)


def epoch_windows(
    store: TokenStore,
    rows: NDArray[np.int64],
    context: int,
    epoch: int | NDArray[np.int64],
) -> Windows:
    """One window a subject for pre-training; over the epochs all of its tokens are seen.

    A record within `context - 1` tokens is one window. A longer one of n tokens has the
    k = ceil(n / (context - 1)) windows of full length that lie evenly from its first token to
    its last, and shows the next of them each epoch: any k epochs in a row show every token.
    So a subject counts once an epoch however long the record, and its oldest and latest
    events are learnt from as often as the others, which a random stretch would hardly reach.

    Args:
        store: the tokens.
        rows: `[windows]`, the subjects' rows.
        context: the longest sequence, in tokens.
        epoch: how often all subjects were seen before; or `[windows]`, a number for each, which
            drawn at random draws one of its windows.
    """
    begins = np.asarray(store.offsets[rows], dtype=np.int64)
    num_tokens = np.asarray(store.offsets[rows + 1], dtype=np.int64) - begins
    length = context - 1
    num_windows = np.maximum(1, -(-num_tokens // length))
    # Subjects start at different windows, lest the first epoch hold beginnings alone.
    number = (epoch + rows) % num_windows
    spare = np.maximum(0, num_tokens - length)
    begins += number * spare // np.maximum(1, num_windows - 1)
    return Windows(begins, begins + np.minimum(num_tokens, length))
