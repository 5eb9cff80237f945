"""Events become fused tokens `CODE//Qn`: the code, or its nearest known ancestor, and the
quantile bin of its value."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.meds.reader import Events
from fedehr_shared.meds.schema import BIRTH_CODE
from fedehr_shared.vocabulary.grid import bin_of
from fedehr_shared.vocabulary.resolution import EXACT, UNKNOWN_STEP
from fedehr_shared.vocabulary.vocabulary import UNKNOWN, Vocabulary


@dataclass(frozen=True)
class TokenizedEvents:
    """Tokens of each event and how far its code had to back off.

    Attributes:
        tokens: `[events]` int32; `UNKNOWN` where no ancestor is known.
        steps: `[events]` int8, as in `Resolution`.
        keep: `[events]` bool: False for births, which give ages and no token.
    """

    tokens: NDArray[np.int32]
    steps: NDArray[np.int8]
    keep: NDArray[np.bool_]


def tokenize(events: Events, vocabulary: Vocabulary, parents: Mapping[str, str]) -> TokenizedEvents:
    """Look up each code once, then each value among its code's cuts.

    A value counts only where the exact code is known: an ancestor's token carries none.
    """
    first = np.full(len(events.codes), UNKNOWN, dtype=np.int32)
    step = np.full(len(events.codes), UNKNOWN_STEP, dtype=np.int8)
    for index, code in enumerate(events.codes):
        resolution = vocabulary.resolve(code, parents, None)
        first[index] = resolution.token
        step[index] = resolution.step
    tokens = first[events.code_indices]
    steps = step[events.code_indices]
    tokens = tokens + _value_offsets(events, vocabulary, steps == EXACT)
    is_birth = np.asarray([code == BIRTH_CODE for code in events.codes])
    return TokenizedEvents(tokens, steps, ~is_birth[events.code_indices])


def _value_offsets(
    events: Events, vocabulary: Vocabulary, exact: NDArray[np.bool_]
) -> NDArray[np.int32]:
    """How far each event's token lies behind its code's first token: 0, or the bin's number."""
    offsets = np.zeros(len(events), dtype=np.int32)
    rows = np.flatnonzero(exact & ~np.isnan(events.values))
    rows = rows[np.argsort(events.code_indices[rows], kind="stable")]
    if rows.size == 0:
        return offsets
    codes, starts = np.unique(events.code_indices[rows], return_index=True)
    for code, group in zip(codes.tolist(), np.split(rows, starts[1:]), strict=True):
        cuts = vocabulary.cuts_of(events.codes[code])
        if cuts is not None:
            bins = bin_of(events.values[group])
            offsets[group] = 1 + np.searchsorted(cuts, bins, side="right")
    return offsets
