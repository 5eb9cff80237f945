"""What pre-training may hide: tokens, and the subjects that have any such."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.tokens.sexes import is_sex_code
from fedehr_shared.tokens.store import TokenStore
from fedehr_shared.vocabulary.vocabulary import SPECIAL_TOKENS, Vocabulary

_BLOCK_TOKENS = 1 << 20


def maskable_tokens(vocabulary: Vocabulary) -> NDArray[np.bool_]:
    """Which tokens may be hidden: all but the special ones and those of a sex.

    Every position carries the sex as a feature, from which a hidden one would be copied.

    Shape: `[vocabulary]`.
    """
    is_maskable = np.ones(vocabulary.num_tokens, dtype=bool)
    is_maskable[: len(SPECIAL_TOKENS)] = False
    sexes = [vocabulary.first_tokens[code] for code in vocabulary.codes if is_sex_code(code)]
    code_of_token = vocabulary.code_of_token
    is_maskable[np.isin(code_of_token, code_of_token[sexes])] = False
    return is_maskable


def has_maskable(store: TokenStore, is_maskable: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which subjects have an event that may be hidden, and so something to learn from.

    Args:
        store: the tokens.
        is_maskable: `[vocabulary]`, as `maskable_tokens` gives it.

    Shape: `[subjects]`.
    """
    begins = np.arange(0, store.tokens.size, _BLOCK_TOKENS)
    edges = np.unique(np.append(np.searchsorted(store.offsets, begins), store.num_subjects))
    found = np.zeros(store.num_subjects, dtype=bool)
    # A block at a time: all of the store's tokens need not be in memory.
    for first, last in pairwise(edges.tolist()):
        begin, end = store.offsets[first], store.offsets[last]
        flags = is_maskable.take(store.tokens[begin:end])
        found[first:last] = np.logical_or.reduceat(flags, store.offsets[first:last] - begin)
    return found
