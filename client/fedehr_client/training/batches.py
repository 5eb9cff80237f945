"""What a step trains on: masked batches of pre-training, labelled ones of fine-tuning."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from fedehr_client.training.examples import Examples
from fedehr_client.training.schedule import batch_rows
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.model.pretraining_model import PretrainingBatch
from fedehr_shared.seeds import derive_generator
from fedehr_shared.tokens.batch import EventBatch
from fedehr_shared.tokens.budget import ranges_within
from fedehr_shared.tokens.collate import collate, episodes
from fedehr_shared.tokens.masking import EventMasker, MaskedBatch
from fedehr_shared.tokens.store import TokenStore
from fedehr_shared.tokens.views import ViewPairs
from fedehr_shared.tokens.visible import VisibleBatch
from fedehr_shared.tokens.windows import epoch_windows

RowsOfStep = Callable[[int], NDArray[np.int64]]
"""From a step's number within the phase to the rows that it sees. `[batch]`."""


@dataclass(frozen=True)
class PretrainingData:
    """What may be learnt from without labels.

    Attributes:
        store: the site's tokens.
        rows: `[subjects]`, the rows of the training subjects.
        code_of_token: `[vocabulary]`, the number of each token's code.
        is_maskable: `[vocabulary]`, which tokens may be hidden.
    """

    store: TokenStore
    rows: NDArray[np.int64]
    code_of_token: NDArray[np.int64]
    is_maskable: NDArray[np.bool_]


@dataclass(frozen=True)
class PretrainingBatches:
    """The batches of pre-training at one site, by the step's number within the phase.

    Attributes:
        study: the study.
        site: the site's name, for its seeds.
        data: what is learnt from.
        rows_of_step: which of `data.rows` a step sees; None: `batch_rows` over the epochs of
            `steps_per_epoch`.
        epoch_of_step: how often all of them were seen before; None: the same.
    """

    study: StudyConfig
    site: str
    data: PretrainingData
    rows_of_step: RowsOfStep | None = None
    epoch_of_step: Callable[[int], int] | None = None

    def __call__(self, step: int) -> PretrainingBatch:
        """The batch of a step: it depends on (study, site, step) and the records alone."""
        objective = self.study.objective
        masked = self._masked(step)
        hidden = VisibleBatch.of(masked) if objective.kind == "masked_autoencoder" else masked
        if objective.num_views == 1:
            return hidden
        return ViewPairs.of(hidden, objective.contrastive_group)

    def _masked(self, step: int) -> MaskedBatch:
        store = self.data.store
        rows = np.repeat(self.data.rows[self._rows(step)], self.study.objective.num_views)
        windows = epoch_windows(store, rows, self.study.sequence.context, self._epoch(step))
        numbers = episodes(store, windows) if self._masker.needs_episodes else None
        # Each sequence draws on its own: the two views of a subject are masked apart.
        generator = derive_generator(*self._seed, "masks", step)
        return self._masker.mask(collate(store, windows), numbers, generator)

    def _rows(self, step: int) -> NDArray[np.int64]:
        if self.rows_of_step is not None:
            return self.rows_of_step(step)
        steps_per_epoch = self.study.pretraining.steps_per_epoch
        return batch_rows(self.data.rows.size, step, steps_per_epoch, *self._seed)

    def _epoch(self, step: int) -> int:
        if self.epoch_of_step is not None:
            return self.epoch_of_step(step)
        return step // self.study.pretraining.steps_per_epoch

    @property
    def _seed(self) -> tuple[str, str, str]:
        return self.study.digest, "pretraining", self.site

    @cached_property
    def _masker(self) -> EventMasker:
        masking, objective = self.study.masking, self.study.objective
        if objective.kind == "masked_autoencoder":
            changes = {"rate": objective.hidden_share, "mask_share": 1.0, "random_share": 0.0}
            masking = masking.model_copy(update=changes)
        return EventMasker(masking, self.data.code_of_token, self.data.is_maskable)


@dataclass(frozen=True)
class LabelledBatch:
    """Sequences and their outcomes.

    Attributes:
        batch: the sequences.
        labels: `[sequences, tasks]` float32: 0, 1, or NaN where a task has no label.
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
