"""`PretrainingBatches`: what a step of pre-training sees, as the study's objective asks."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fedehr_client.training.schedule import batch_rows
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.model.pretraining_model import PretrainingBatch
from fedehr_shared.seeds import derive_generator
from fedehr_shared.tokens.collate import collate, episodes
from fedehr_shared.tokens.masking import EventMasker, MaskedBatch
from fedehr_shared.tokens.store import TokenStore
from fedehr_shared.tokens.views import ViewPairs
from fedehr_shared.tokens.visible import VisibleBatch
from fedehr_shared.tokens.windows import epoch_windows

_BLOCK_SUBJECTS = 4_096

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

    @cached_property
    def token_counts(self) -> NDArray[np.int64]:
        """How often each token stands in the training subjects' records; those that
        may not be hidden count 0.

        The store is read a block of subjects after the other, so that memory stays small.

        Shape: `[vocabulary]`.
        """
        store, num_tokens = self.store, self.code_of_token.size
        in_training = np.zeros(store.num_subjects, dtype=bool)
        in_training[self.rows] = True
        counts = np.zeros(num_tokens, dtype=np.int64)
        for first in range(0, store.num_subjects, _BLOCK_SUBJECTS):
            offsets = store.offsets[first : first + _BLOCK_SUBJECTS + 1]
            wanted = np.repeat(in_training[first : first + _BLOCK_SUBJECTS], np.diff(offsets))
            tokens = store.tokens[offsets[0] : offsets[-1]][wanted]
            counts += np.bincount(tokens, minlength=num_tokens)
        counts[~self.is_maskable] = 0
        return counts


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
