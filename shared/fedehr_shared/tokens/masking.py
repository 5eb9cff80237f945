"""Masked events: which positions of a batch are hidden, and what stands there instead."""

from dataclasses import dataclass

import numpy as np
import torch

from fedehr_shared.config.masking import MaskingConfig
from fedehr_shared.tokens.batch import EventBatch
from fedehr_shared.vocabulary.vocabulary import MASK, SPECIAL_TOKENS, UNKNOWN


@dataclass(frozen=True)
class MaskedBatch:
    """A batch with hidden positions.

    Attributes:
        batch: the stream as the model reads it.
        positions: `[masked]` int64, the hidden positions, rising.
        targets: `[masked]` int64, the tokens that stood there.
    """

    batch: EventBatch
    positions: torch.Tensor
    targets: torch.Tensor


class EventMasker:
    """Hides a share of positions: of them `mask_share` become `[MASK]`, `random_share` a
    random token, the rest stays (BERT, Devlin et al. 2019)."""

    def __init__(self, config: MaskingConfig, num_tokens: int) -> None:
        self._config = config
        self._num_tokens = num_tokens

    def mask(self, batch: EventBatch, generator: np.random.Generator) -> MaskedBatch:
        """Hide positions of `batch`; `[START]` and `[UNK]` are never hidden.

        At least one position is hidden where any may be.
        """
        tokens = batch.tokens.numpy()
        eligible = np.flatnonzero((tokens >= len(SPECIAL_TOKENS)) & (tokens != UNKNOWN))
        draws = generator.random(eligible.size)
        chosen = eligible[draws < self._config.rate]
        if chosen.size == 0 and eligible.size:
            chosen = eligible[[int(draws.argmin())]]
        masked = tokens.copy()
        fate = generator.random(chosen.size)
        masked[chosen[fate < self._config.mask_share]] = MASK
        swap = (fate >= self._config.mask_share) & (
            fate < self._config.mask_share + self._config.random_share
        )
        masked[chosen[swap]] = generator.integers(
            len(SPECIAL_TOKENS), self._num_tokens, int(swap.sum())
        )
        stream = EventBatch(
            torch.from_numpy(masked), batch.hours, batch.ages, batch.visits, batch.cu_seqlens
        )
        return MaskedBatch(
            stream, torch.from_numpy(chosen), torch.from_numpy(tokens[chosen].copy())
        )
