"""`VisibleBatch`: a masked batch whose hidden events are left out of what the encoder reads."""

from dataclasses import dataclass

import torch

from fedehr_shared.tokens.batch import EventBatch, moved_back
from fedehr_shared.tokens.budget import ranges_within
from fedehr_shared.tokens.masking import MaskedBatch


@dataclass(frozen=True)
class VisibleBatch:
    """What a masked autoencoder reads: the visible events, and where the hidden ones stood.

    Attributes:
        batch: the visible events as a stream of their own, as the encoder reads it.
        places: `[visible]` int64, where they stand in the whole stream, rising.
        masked: the whole stream, `[MASK]` at its hidden positions, as the decoder reads it.
    """

    batch: EventBatch
    places: torch.Tensor
    masked: MaskedBatch

    @classmethod
    def of(cls, masked: MaskedBatch) -> "VisibleBatch":
        """Leave out the hidden positions of `masked`. A `[START]` is never hidden."""
        whole = masked.batch
        is_visible = torch.ones(masked.num_tokens, dtype=torch.bool)
        is_visible[masked.positions] = False
        places = is_visible.nonzero()[:, 0]
        cu_seqlens = torch.searchsorted(places, whole.cu_seqlens)
        visible = EventBatch(
            whole.tokens[places],
            whole.hours[places],
            whole.ages[places],
            whole.visits[places],
            whole.sexes[places],
            cu_seqlens,
            cu_seqlens.tolist(),
        )
        return cls(visible, places, masked)

    @property
    def num_tokens(self) -> int:
        """Tokens that the memory holds: the decoder's, of which the encoder's are a part."""
        return self.masked.num_tokens

    def split(self, token_budget: int | None, group: int = 1) -> list["VisibleBatch"]:
        """Pieces of at most `token_budget` tokens, or of one longer group; views, no copies.

        Args:
            token_budget: in tokens, the hidden ones counted; None: all in one piece.
            group: sequences that must stay together.
        """
        whole = self.masked.batch.boundaries
        return [
            VisibleBatch(
                self.batch.cut(sequences),
                moved_back(self._places_of(sequences), whole[sequences.start]),
                part,
            )
            for sequences, part in zip(
                ranges_within(whole, token_budget, group),
                self.masked.split(token_budget, group),
                strict=True,
            )
        ]

    def _places_of(self, sequences: range) -> torch.Tensor:
        boundaries = self.batch.boundaries
        return self.places[boundaries[sequences.start] : boundaries[sequences.stop]]

    def to(self, device: torch.device) -> "VisibleBatch":
        """The same batch on `device`; a pinned one is copied while the processor goes on."""
        return VisibleBatch(
            self.batch.to(device),
            self.places.to(device, non_blocking=True),
            self.masked.to(device),
        )

    def pinned(self) -> "VisibleBatch":
        """The same batch in page-locked memory, from which CUDA copies without waiting."""
        return VisibleBatch(self.batch.pinned(), self.places.pin_memory(), self.masked.pinned())
