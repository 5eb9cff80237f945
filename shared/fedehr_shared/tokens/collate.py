"""Joining windows of a `TokenStore` into an `EventBatch`, and what masking needs beside it."""

import numpy as np
import torch
from numpy.typing import NDArray

from fedehr_shared.tokens.batch import MAX_VISITS, EventBatch
from fedehr_shared.tokens.sexes import UNKNOWN_SEX
from fedehr_shared.tokens.store import TokenStore
from fedehr_shared.tokens.windows import Kind, Windows
from fedehr_shared.vocabulary.vocabulary import START

_HOURS_PER_CENTURY = 876_600.0
_MICROSECONDS_PER_DAY = 86_400_000_000


def collate(store: TokenStore, windows: Windows) -> EventBatch:
    """Join windows into one stream, `[START]` before each. Every column is gathered once."""
    starts, places = windows.starts, windows.places
    tokens = _gather(store.tokens, places).astype(np.int64)
    tokens[starts] = START
    visits = _gather(store.visits, places).astype(np.int64)
    np.minimum(visits, MAX_VISITS - 1, out=visits)
    visits[starts] = 0
    rows = np.searchsorted(store.offsets, windows.begins, side="right") - 1
    first_hours = _gather(store.hours, windows.begins)
    hours = _gather(store.hours, places)
    hours -= windows.spread(first_hours)
    hours[starts] = 0.0
    return EventBatch(
        tokens=torch.from_numpy(tokens),
        hours=torch.from_numpy(hours),
        ages=torch.from_numpy(_ages(store, windows, rows, first_hours, hours)),
        visits=torch.from_numpy(visits),
        sexes=torch.from_numpy(_sexes(store, windows, rows)),
        cu_seqlens=torch.from_numpy(windows.cu_seqlens),
        boundaries=windows.cu_seqlens.tolist(),
    )


def episodes(store: TokenStore, windows: Windows) -> NDArray[np.int64]:
    """Which hospital stay each position belongs to or, outside one, which calendar day.

    A stay has its ordinal, from 1; a day has -1 at the window's first event and one less for
    each day after; `[START]` has 0. The numbers are the same for two events of a window if and
    only if they are of one stay, or both of none and of one day (UTC where the site's source
    names its time zone, the source's own calendar otherwise).

    Shape: `[tokens]`.
    """
    places = windows.places
    numbers = _gather(store.visits, places).astype(np.int64)
    outside = np.flatnonzero(numbers == 0)
    days = _gather(store.times, places[outside]) // _MICROSECONDS_PER_DAY
    first_days = _gather(store.times, windows.begins) // _MICROSECONDS_PER_DAY
    numbers[outside] = windows.spread(first_days)[outside] - days - 1
    numbers[windows.starts] = 0
    return numbers


def _ages(
    store: TokenStore,
    windows: Windows,
    rows: NDArray[np.int64],
    first_hours: NDArray[np.float32],
    hours: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Centuries since birth; 0 at `[START]` and where the birth is unknown. `[tokens]`."""
    first = _gather(store.first_ages, rows) / np.float32(100.0)
    first += first_hours / np.float32(_HOURS_PER_CENTURY)
    ages = hours * np.float32(1.0 / _HOURS_PER_CENTURY)
    ages += windows.spread(first)
    if np.isnan(first).any():
        ages[np.isnan(ages)] = 0.0
    ages[windows.starts] = 0.0
    return ages


def _sexes(store: TokenStore, windows: Windows, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """The subject's at each position, `[START]` too; 0 where nothing of it is known yet.

    An empty window may be of a subject that the store does not hold. `[tokens]`.
    """
    sexes = _gather(store.sexes, rows).astype(np.int64)
    sexes[windows.begins == windows.ends] = UNKNOWN_SEX
    return windows.spread(sexes)


def _gather(column: NDArray[Kind], places: NDArray[np.int64]) -> NDArray[Kind]:
    """`column` at `places`; what lies outside, as a `[START]` may, is clipped to its ends.

    Zeros where the column is empty, as in a store of subjects without events.
    """
    if column.size == 0:
        return np.zeros(places.size, dtype=column.dtype)
    return column.view(np.ndarray).take(places, mode="clip")
