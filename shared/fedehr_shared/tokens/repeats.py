"""Measurements that say again what the last one of their code said."""

import numpy as np
from numpy.typing import NDArray

_LARGEST_KEY = 1 << 16


def repeat_rows(
    tokens: NDArray[np.int32],
    code_rows: NDArray[np.intp],
    valued: NDArray[np.intp],
    segments: NDArray[np.intp],
) -> NDArray[np.intp]:
    """The rows at which a valued code repeats its previous token within its segment.

    Args:
        tokens: `[events]`.
        code_rows: `[events]`, the code of each.
        valued: the events that have a value.
        segments: `[events]`, the stay of a subject, or all that is outside one; from 0.

    Shape: `[repeats]`, in no order.
    """
    # Codes without a value cannot repeat, and are half of all events.
    has_values = np.zeros(int(code_rows.max(initial=0)) + 1, dtype=bool)
    has_values[code_rows.take(valued)] = True
    rows = np.flatnonzero(has_values.take(code_rows))
    codes, stays = code_rows.take(rows), segments.take(rows)
    order = _grouped(codes, stays)
    rows, codes, stays = rows.take(order), codes.take(order), stays.take(order)
    same = (codes[1:] == codes[:-1]) & (stays[1:] == stays[:-1])
    later = np.flatnonzero(same) + 1
    again = tokens.take(rows[later]) == tokens.take(rows[later - 1])
    repeats = rows[later[again]]
    is_valued = np.zeros(tokens.size, dtype=bool)
    is_valued[valued] = True
    found: NDArray[np.intp] = repeats[is_valued.take(repeats)]
    return found


def _grouped(codes: NDArray[np.intp], stays: NDArray[np.intp]) -> NDArray[np.intp]:
    """An order in which each code's events of a stay stand together, in their own order."""
    if np.all(stays[1:] >= stays[:-1]):
        return _stable_order(codes)
    by_stay = _stable_order(stays)
    return by_stay.take(_stable_order(codes.take(by_stay)))


def _stable_order(keys: NDArray[np.intp]) -> NDArray[np.intp]:
    # NumPy sorts 16-bit integers by radix, ten times as fast as wider ones.
    narrow = keys.max(initial=0) < _LARGEST_KEY
    return np.argsort(keys.astype(np.uint16) if narrow else keys, kind="stable")
