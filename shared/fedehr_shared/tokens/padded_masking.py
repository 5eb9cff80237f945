"""`PaddedMaskedBatch`: hidden events, a fixed number of places a row."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from fedehr_shared.config.masking import MaskingConfig
from fedehr_shared.tokens.masking import MaskedBatch
from fedehr_shared.tokens.padded_batch import PaddedBatch, rows_within


@dataclass(frozen=True)
class RowPlaces:
    """So many positions of each row of a padded batch.

    Attributes:
        index: `[subjects, places]` int64, positions within the row.
    """

    index: torch.Tensor


@dataclass(frozen=True)
class PaddedMaskedBatch:
    """Rows with hidden positions. A subject's loss is the mean over its own alone.

    Attributes:
        batch: the rows as the model reads them.
        hidden: the places that are asked for: `[subjects, places]`.
        targets: `[subjects, places]` int64, the tokens that stood there.
        weights: `[subjects, places]` float32, one over the number of the subject's places, 0
            where it has fewer than the row holds: a row's weights add up to 1, or to 0 where
            nothing is hidden.
        most_rows: rows of a piece; None: as many as its tokens allow.
    """

    batch: PaddedBatch
    hidden: RowPlaces
    targets: torch.Tensor
    weights: torch.Tensor
    most_rows: int | None = None

    @classmethod
    def of(
        cls,
        masked: MaskedBatch,
        most_places: int,
        generator: np.random.Generator,
        most_rows: int | None = None,
    ) -> "PaddedMaskedBatch":
        """The rows of a flat stream, on the CPU.

        Args:
            masked: the stream.
            most_places: of a row, see `places_of_row`; a row with more hidden positions is asked
                for so many of them, drawn at random.
            generator: for that draw.
            most_rows: rows of a piece.
        """
        cuts = np.asarray(masked.hidden.boundaries, dtype=np.int64)
        chosen, numbers = _chosen(cuts, most_places, generator)
        rows = np.repeat(np.arange(cuts.size - 1), np.diff(cuts))[chosen]
        counts = np.bincount(rows, minlength=cuts.size - 1)
        # One at least, of weight 0: a row whose window shows nothing that may be hidden.
        shape = (cuts.size - 1, int(counts.max(initial=1)))
        index, targets = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        weights = np.zeros(shape, dtype=np.float32)
        starts = np.asarray(masked.batch.boundaries[:-1], dtype=np.int64)
        index[rows, numbers] = masked.positions.numpy()[chosen] - starts[rows]
        targets[rows, numbers] = masked.targets.numpy()[chosen]
        weights[rows, numbers] = 1.0 / counts[rows]
        return cls(
            PaddedBatch.of(masked.batch),
            RowPlaces(torch.from_numpy(index)),
            torch.from_numpy(targets),
            torch.from_numpy(weights),
            most_rows,
        )

    @property
    def num_subjects(self) -> int:
        """The number of rows; a step of Poisson sampling may have none."""
        return self.batch.num_subjects

    @property
    def num_tokens(self) -> int:
        """Tokens that the memory holds, padding included."""
        return self.batch.num_tokens

    def split(self, token_budget: int | None) -> list["PaddedMaskedBatch"]:
        """Pieces of at most `token_budget` tokens, or of one longer row; none without a row."""
        ranges = rows_within(self.batch.lengths, token_budget, self.most_rows)
        return [self._cut(subjects) for subjects in ranges]

    def _cut(self, subjects: range) -> "PaddedMaskedBatch":
        own = slice(subjects.start, subjects.stop)
        # Places rise with the weight: what no row of the piece has need not be computed.
        most = max(1, int((self.weights[own] > 0).sum(dim=1).max()))
        return PaddedMaskedBatch(
            self.batch.cut(subjects),
            RowPlaces(self.hidden.index[own, :most]),
            self.targets[own, :most],
            self.weights[own, :most],
            self.most_rows,
        )

    def to(self, device: torch.device) -> "PaddedMaskedBatch":
        """The same batch on `device`; a pinned one is copied while the processor goes on."""
        return PaddedMaskedBatch(
            self.batch.to(device),
            RowPlaces(self.hidden.index.to(device, non_blocking=True)),
            self.targets.to(device, non_blocking=True),
            self.weights.to(device, non_blocking=True),
            self.most_rows,
        )

    def pinned(self) -> "PaddedMaskedBatch":
        """The same batch in page-locked memory, from which CUDA copies without waiting."""
        return PaddedMaskedBatch(
            self.batch.pinned(),
            RowPlaces(self.hidden.index.pin_memory()),
            self.targets.pin_memory(),
            self.weights.pin_memory(),
            self.most_rows,
        )


def places_of_row(masking: MaskingConfig, context: int) -> int:
    """The most places that a row is asked for: what masking hides of a full context on average,
    whatever a site's records are like."""
    return max(1, math.ceil(masking.rate * (context - 1)))


def _chosen(
    cuts: NDArray[np.int64], most: int, generator: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of each row's places at most so many, drawn at random, and their numbers within the row.

    Args:
        cuts: `[rows + 1]`, where each row's begin.
        most: of a row.
        generator: all draws come from it.
    """
    num = int(cuts[-1]) if cuts.size else 0
    rows = np.repeat(np.arange(cuts.size - 1), np.diff(cuts))
    order = np.lexsort((generator.random(num), rows))
    numbers = np.arange(num) - cuts[rows]
    kept = numbers < most
    chosen = order[kept]
    return chosen, numbers[kept]
