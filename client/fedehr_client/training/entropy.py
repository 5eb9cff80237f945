"""What a loss is measured against: the entropy of a site's code frequencies."""

import numpy as np
from numpy.typing import NDArray

from fedehr_client.training.batches import PretrainingData

_BLOCK_SUBJECTS = 4_096


def code_entropy(data: PretrainingData) -> float:
    """Entropy, in nats, of the tokens that pre-training may hide, over the training subjects.

    `H = -sum p ln p` (Shannon 1948), with p each token's share. It is the loss of a model that
    knows how frequent each code is and nothing else: one that is not below it learned nothing
    of how events go together. 0 where nothing may be hidden.
    """
    counts = token_counts(data)
    shares = counts[counts > 0] / max(1, int(counts.sum()))
    return float(-(shares * np.log(shares)).sum())


def frequency_losses(data: PretrainingData) -> NDArray[np.float64]:
    """What naming each token costs, in nats, by the training subjects' frequencies alone.

    One is added to each count (Laplace), lest a token that training never saw cost infinity.
    Tokens that may not be hidden have NaN.

    Shape: `[vocabulary]`.
    """
    counts = token_counts(data) + 1.0
    losses: NDArray[np.float64] = np.log(counts[data.is_maskable].sum()) - np.log(counts)
    losses[~data.is_maskable] = np.nan
    return losses


def token_counts(data: PretrainingData) -> NDArray[np.int64]:
    """How often each token stands in the training subjects' records; those that
    may not be hidden count 0.

    The store is read a block of subjects after the other, so that memory stays small.

    Shape: `[vocabulary]`.
    """
    store, num_tokens = data.store, data.code_of_token.size
    in_training = np.zeros(store.num_subjects, dtype=bool)
    in_training[data.rows] = True
    counts = np.zeros(num_tokens, dtype=np.int64)
    for first in range(0, store.num_subjects, _BLOCK_SUBJECTS):
        offsets = store.offsets[first : first + _BLOCK_SUBJECTS + 1]
        wanted = np.repeat(in_training[first : first + _BLOCK_SUBJECTS], np.diff(offsets))
        tokens = store.tokens[offsets[0] : offsets[-1]][wanted]
        counts += np.bincount(tokens, minlength=num_tokens)
    counts[~data.is_maskable] = 0
    return counts
