"""`PaddedLabelledBatch`: one row a subject, and the subject's outcomes."""

from dataclasses import dataclass

import torch

from fedehr_shared.tokens.padded_batch import PaddedBatch, rows_within


@dataclass(frozen=True)
class PaddedLabelledBatch:
    """Rows and their outcomes.

    Attributes:
        batch: the rows.
        labels: `[subjects, tasks]` float32, NaN where a task has no label.
        most_rows: rows of a piece; None: as many as its tokens allow.
    """

    batch: PaddedBatch
    labels: torch.Tensor
    most_rows: int | None = None

    @property
    def num_subjects(self) -> int:
        """The number of rows; a step of Poisson sampling may have none."""
        return self.batch.num_subjects

    @property
    def num_tokens(self) -> int:
        """Tokens that the memory holds, padding included."""
        return self.batch.num_tokens

    def split(self, token_budget: int | None) -> list["PaddedLabelledBatch"]:
        """Pieces of at most `token_budget` tokens, or of one longer row; none without a row."""
        ranges = rows_within(self.batch.lengths, token_budget, self.most_rows)
        return [
            PaddedLabelledBatch(
                self.batch.cut(rows), self.labels[rows.start : rows.stop], self.most_rows
            )
            for rows in ranges
        ]

    def to(self, device: torch.device) -> "PaddedLabelledBatch":
        """The same batch on `device`; a pinned one is copied while the processor goes on."""
        labels = self.labels.to(device, non_blocking=True)
        return PaddedLabelledBatch(self.batch.to(device), labels, self.most_rows)

    def pinned(self) -> "PaddedLabelledBatch":
        """The same batch in page-locked memory, from which CUDA copies without waiting."""
        return PaddedLabelledBatch(self.batch.pinned(), self.labels.pin_memory(), self.most_rows)
