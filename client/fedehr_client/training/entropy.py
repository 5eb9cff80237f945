"""What a loss is measured against: the entropy of a site's code frequencies."""

import numpy as np
from numpy.typing import NDArray

from fedehr_client.training.batches import PretrainingData


def code_entropy(data: PretrainingData) -> float:
    """Entropy, in nats, of the tokens that pre-training may hide, over the training subjects.

    `H = -sum p ln p` (Shannon 1948), with p each token's share. It is the loss of a model that
    knows how frequent each code is and nothing else: one that is not below it learned nothing
    of how events go together. 0 where nothing may be hidden.
    """
    counts = data.token_counts
    shares = counts[counts > 0] / max(1, int(counts.sum()))
    return float(-(shares * np.log(shares)).sum())


def frequency_losses(data: PretrainingData) -> NDArray[np.float64]:
    """What naming each token costs, in nats, by the training subjects' frequencies alone.

    One is added to each count (Laplace), lest a token that training never saw cost infinity.
    Tokens that may not be hidden have NaN.

    Shape: `[vocabulary]`.
    """
    counts = data.token_counts + 1.0
    losses: NDArray[np.float64] = np.log(counts[data.is_maskable].sum()) - np.log(counts)
    losses[~data.is_maskable] = np.nan
    return losses
