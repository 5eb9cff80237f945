"""`LabelledBatches`: what a step of fine-tuning sees."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from fedehr_client.training.batches import RowsOfStep
from fedehr_client.training.examples import Examples
from fedehr_client.training.schedule import batch_rows
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.tokens.batch import EventBatch
from fedehr_shared.tokens.budget import ranges_within
from fedehr_shared.tokens.collate import collate
from fedehr_shared.tokens.store import TokenStore


@dataclass(frozen=True)
class LabelledBatch:
    """Sequences and their outcomes.

    Attributes:
        batch: the sequences.
        labels: `[sequences, tasks]` float32, NaN where a task has no label.
        num_step_labels: `[tasks]` int64, known labels of the whole step that this is a piece
            of: the losses of its pieces add up to the mean over all of them.
    """

    batch: EventBatch
    labels: torch.Tensor
    num_step_labels: torch.Tensor

    @property
    def num_tokens(self) -> int:
        """Tokens that the memory holds."""
        return self.batch.boundaries[-1]

    def split(self, token_budget: int | None) -> list["LabelledBatch"]:
        """Pieces of at most `token_budget` tokens, or of one longer sequence; views, no copies."""
        return [
            LabelledBatch(
                self.batch.cut(sequences),
                self.labels[sequences.start : sequences.stop],
                self.num_step_labels,
            )
            for sequences in ranges_within(self.batch.boundaries, token_budget)
        ]

    def to(self, device: torch.device) -> "LabelledBatch":
        """The same batch on `device`; a pinned one is copied while the processor goes on."""
        return LabelledBatch(
            self.batch.to(device),
            self.labels.to(device, non_blocking=True),
            self.num_step_labels.to(device, non_blocking=True),
        )

    def pinned(self) -> "LabelledBatch":
        """The same batch in page-locked memory, from which CUDA copies without waiting."""
        return LabelledBatch(
            self.batch.pinned(), self.labels.pin_memory(), self.num_step_labels.pin_memory()
        )


@dataclass(frozen=True)
class LabelledBatches:
    """The batches of fine-tuning at one site, by the step's number within the phase.

    Attributes:
        study: the study.
        site: the site's name, for its seeds.
        store: the site's tokens.
        examples: what may be drawn.
        rows_of_step: which examples a step sees; None: `batch_rows` over the epochs of
            `steps_per_epoch`.
    """

    study: StudyConfig
    site: str
    store: TokenStore
    examples: Examples
    rows_of_step: RowsOfStep | None = None

    def __call__(self, step: int) -> LabelledBatch:
        """The batch of a step: it depends on (study, site, step) and the records alone."""
        rows = self._rows(step)
        labels = torch.from_numpy(self.examples.labels[rows])
        batch = collate(self.store, self.examples.windows[rows])
        return LabelledBatch(batch, labels, (~labels.isnan()).sum(dim=0))

    def _rows(self, step: int) -> NDArray[np.int64]:
        if self.rows_of_step is not None:
            return self.rows_of_step(step)
        seed = (self.study.digest, "finetuning", self.site)
        return batch_rows(len(self.examples), step, self.study.finetuning.steps_per_epoch, *seed)
