"""A handful of training subjects whose hidden events can be told apart, for overfitting."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fedehr_client.training.batches import PretrainingData
from fedehr_shared.errors import UsageError
from fedehr_shared.seeds import derive_generator
from fedehr_shared.tokens.store import TokenStore

LEAST_GAP_HOURS = 0.25
"""Events closer than this look alike to rotary positions whose shortest period is one hour."""
_WANTED_EVENTS = 8
"""Subjects with fewer are taken only where there are no others."""


def few_subjects(data: PretrainingData, num_subjects: int, *seed: str | int) -> PretrainingData:
    """`num_subjects` of the training subjects, in a store of their own in memory.

    Two hidden events at one moment of one subject are the same question with two answers, and
    no model can reach zero loss on them. So a subject keeps one event a quarter of an hour.

    Args:
        data: the site's training subjects.
        num_subjects: how many to take.
        seed: decides which.

    Raises:
        UsageError: there are not so many training subjects.
    """
    if num_subjects > data.rows.size:
        raise UsageError(
            f"--overfit {num_subjects} asks for more subjects than the site has to train on. "
            "Name fewer."
        )
    rich: list[int] = []
    poor: list[int] = []
    for row in derive_generator(*seed, "overfit").permutation(data.rows).tolist():
        (rich if _events_apart(data, row).size >= _WANTED_EVENTS else poor).append(row)
        if len(rich) == num_subjects:
            break
    rows = np.asarray([*rich, *poor][:num_subjects], dtype=np.int64)
    store = _store_of(data, rows)
    return replace(data, store=store, rows=np.arange(num_subjects, dtype=np.int64))


def _store_of(data: PretrainingData, rows: NDArray[np.int64]) -> TokenStore:
    """The events of `rows` that are apart from each other, as a store in memory."""
    store = data.store
    events = [_events_apart(data, row) for row in rows.tolist()]
    places = np.concatenate(events)
    offsets = np.zeros(rows.size + 1, dtype=np.int64)
    np.cumsum([own.size for own in events], out=offsets[1:])
    return replace(
        store,
        tokens=store.tokens[places],
        times=store.times[places],
        hours=store.hours[places],
        visits=store.visits[places],
        offsets=offsets,
        subject_ids=store.subject_ids[rows],
        first_ages=store.first_ages[rows],
        sexes=store.sexes[rows],
    )


def _events_apart(data: PretrainingData, row: int) -> NDArray[np.int64]:
    """Places of a subject's events that may be hidden, each at least a gap after the last one
    taken. `[events]`."""
    store = data.store
    begin, end = int(store.offsets[row]), int(store.offsets[row + 1])
    taken: list[int] = []
    latest = -np.inf
    for place in range(begin, end):
        is_apart = float(store.hours[place]) >= latest + LEAST_GAP_HOURS
        if is_apart and data.is_maskable[store.tokens[place]]:
            taken.append(place)
            latest = float(store.hours[place])
    return np.asarray(taken, dtype=np.int64)
