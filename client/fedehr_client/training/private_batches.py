"""Batches of a private round: subjects by Poisson sampling, one padded row each.

Every draw is the site's own: which subjects a step sees, the window or example that stands for
each, and what is hidden of it. None depends on the study's seed, and what a subject's row is
depends on no other subject of the step.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from fedehr_client.privacy.randomness import PrivateRandomness
from fedehr_client.training.batches import PretrainingData
from fedehr_client.training.examples import Examples
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.tokens.collate import collate, episodes
from fedehr_shared.tokens.masking import EventMasker
from fedehr_shared.tokens.padded_batch import PaddedBatch
from fedehr_shared.tokens.padded_labels import PaddedLabelledBatch
from fedehr_shared.tokens.padded_masking import PaddedMaskedBatch, places_of_row
from fedehr_shared.tokens.store import TokenStore
from fedehr_shared.tokens.windows import Windows, epoch_windows

_MANY_EPOCHS = 2**31


@dataclass(frozen=True)
class PrivatePretrainingBatches:
    """The batches of private pre-training; each call draws anew.

    Attributes:
        study: the study.
        data: what is learnt from.
        randomness: the site's own.
        most_rows: subjects whose gradients are in memory at once; None: any number.
    """

    study: StudyConfig
    data: PretrainingData
    randomness: PrivateRandomness
    most_rows: int | None = None

    def __call__(self, step: int) -> PaddedMaskedBatch:
        """The batch of any step; possibly of nobody."""
        store, sequence = self.data.store, self.study.sequence
        rate = self.study.privacy.pretraining.sample_rate
        rows = self.data.rows[self.randomness.poisson_rows(self.data.rows.size, rate)]
        generator = self.randomness.generator()
        epochs = generator.integers(0, _MANY_EPOCHS, rows.size)
        windows = epoch_windows(store, rows, sequence.context, epochs)
        windows = windows[by_length(windows)]
        numbers = episodes(store, windows) if self._masker.needs_episodes else None
        masked = self._masker.mask(collate(store, windows), numbers, generator)
        most_places = places_of_row(self.study.masking, sequence.context)
        return PaddedMaskedBatch.of(masked, most_places, generator, self.most_rows)

    @cached_property
    def _masker(self) -> EventMasker:
        data = self.data
        return EventMasker(
            self.study.masking, data.code_of_token, data.is_maskable, each_alone=True
        )


@dataclass(frozen=True)
class PrivateLabelledBatches:
    """The batches of private fine-tuning; each call draws anew.

    Subjects are sampled, not examples: one with many has no greater chance of being seen, and
    stands in a step with one of them.

    Attributes:
        study: the study.
        store: the site's tokens.
        examples: what may be drawn.
        randomness: the site's own.
        most_rows: subjects whose gradients are in memory at once; None: any number.
    """

    study: StudyConfig
    store: TokenStore
    examples: Examples
    randomness: PrivateRandomness
    most_rows: int | None = None

    def __call__(self, step: int) -> PaddedLabelledBatch:
        """The batch of any step; possibly of nobody."""
        drawn = self._drawn()
        drawn = drawn[by_length(self.examples.windows[drawn])]
        batch = collate(self.store, self.examples.windows[drawn])
        labels = torch.from_numpy(self.examples.labels[drawn])
        return PaddedLabelledBatch(PaddedBatch.of(batch), labels, self.most_rows)

    def _drawn(self) -> NDArray[np.int64]:
        """One example of each subject that the step sees. `[subjects]`."""
        order, starts, counts = self._by_subject
        rate = self.study.privacy.finetuning.sample_rate
        subjects = self.randomness.poisson_rows(starts.size, rate)
        which = self.randomness.generator().integers(0, counts[subjects])
        drawn: NDArray[np.int64] = order[starts[subjects] + which]
        return drawn

    @cached_property
    def _by_subject(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """The examples subject after subject, where each one's begin, and how many they are."""
        order = np.argsort(self.examples.subject_ids, kind="stable")
        ids = self.examples.subject_ids[order]
        _, starts, counts = np.unique(ids, return_index=True, return_counts=True)
        return order, starts, counts


def by_length(windows: Windows) -> NDArray[np.int64]:
    """The order in which neighbors are of near-equal length, for the least padding in a piece.

    Subjects' gradients are added up whatever their order. `[windows]`.
    """
    order: NDArray[np.int64] = np.argsort(windows.ends - windows.begins, kind="stable")
    return order
