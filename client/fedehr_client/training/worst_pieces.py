"""`worst_pieces`: batches that take as much memory as any of a given size may."""

from collections.abc import Sequence

import numpy as np
import torch

from fedehr_client.training.batches import PretrainingBatches, PretrainingData
from fedehr_client.training.labelled_batches import LabelledBatch
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.model.pretraining_model import PretrainingBatch
from fedehr_shared.tokens.back_off import BackOffShares
from fedehr_shared.tokens.collate import collate
from fedehr_shared.tokens.store import TokenStore
from fedehr_shared.tokens.windows import epoch_windows
from fedehr_shared.vocabulary.vocabulary import SPECIAL_TOKENS

SHORTEST = 8
"""Tokens of a short sequence: attention and pooling hold something for each sequence."""
_MICROSECONDS_PER_DAY = 86_400_000_000


def worst_pieces(
    study: StudyConfig, phase: str, vocabulary_size: int, num_tokens: int
) -> Sequence[PretrainingBatch | LabelledBatch]:
    """Two batches of invented records: sequences of the full context, and many short ones.

    They are made by what makes the real ones, for any objective.

    Args:
        study: the study.
        phase: `pretraining` or `finetuning`.
        vocabulary_size: tokens of the vocabulary.
        num_tokens: of each batch.
    """
    lengths = (study.sequence.context, min(SHORTEST, study.sequence.context))
    stores = [_store(vocabulary_size, max(1, num_tokens // n), n - 1) for n in lengths]
    if phase == "finetuning":
        return [_labelled(study, store) for store in stores]
    return [_pretraining(study, vocabulary_size, store) for store in stores]


def _store(vocabulary_size: int, num_subjects: int, num_events: int) -> TokenStore:
    """Subjects with one event a day, each of another code as far as the vocabulary goes."""
    size = num_subjects * num_events
    days = np.tile(np.arange(num_events, dtype=np.int64), num_subjects)
    usual = vocabulary_size - len(SPECIAL_TOKENS)
    nothing = BackOffShares(None, None, None, None)
    return TokenStore(
        tokens=(np.arange(size) % usual + len(SPECIAL_TOKENS)).astype(np.int32),
        times=days * _MICROSECONDS_PER_DAY,
        hours=(days * 24).astype(np.float32),
        visits=np.zeros(size, dtype=np.int32),
        offsets=np.arange(num_subjects + 1, dtype=np.int64) * num_events,
        subject_ids=np.arange(num_subjects, dtype=np.int64),
        first_ages=np.zeros(num_subjects, dtype=np.float32),
        sexes=np.zeros(num_subjects, dtype=np.uint8),
        back_off=nothing,
    )


def _pretraining(study: StudyConfig, vocabulary_size: int, store: TokenStore) -> PretrainingBatch:
    is_maskable = np.ones(vocabulary_size, dtype=bool)
    is_maskable[: len(SPECIAL_TOKENS)] = False
    # An objective that shows each subject twice makes twice the tokens.
    rows = np.arange(max(1, store.num_subjects // study.objective.num_views), dtype=np.int64)
    data = PretrainingData(store, rows, np.arange(vocabulary_size), is_maskable)
    return PretrainingBatches(study, "trial", data, lambda _: rows, lambda _: 0)(0)


def _labelled(study: StudyConfig, store: TokenStore) -> LabelledBatch:
    rows = np.arange(store.num_subjects, dtype=np.int64)
    batch = collate(store, epoch_windows(store, rows, study.sequence.context, 0))
    labels = torch.zeros(store.num_subjects, len(study.finetuning.tasks))
    return LabelledBatch(batch, labels, (~labels.isnan()).sum(dim=0))
