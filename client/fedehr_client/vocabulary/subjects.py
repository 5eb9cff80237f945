"""`SubjectCodes`: a chunk of events as (subject, code) pairs of the training subjects."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.meds.reader import Events
from fedehr_shared.meds.schema import BIRTH_CODE, TRAIN
from fedehr_shared.vocabulary.grid import bin_of


def training_subjects(splits: Mapping[int, str]) -> NDArray[np.int64]:
    """The subjects of the train split, rising. Shape: `[subjects]`."""
    return np.sort(np.asarray([s for s, name in splits.items() if name == TRAIN], dtype=np.int64))


@dataclass(frozen=True)
class SubjectCodes:
    """Whole subjects' codes, births left out.

    Attributes:
        subject_ids: the chunk's training subjects. `[subjects]`
        subjects: each pair's row in `subject_ids`. `[pairs]`
        codes: each pair's code; every (subject, code) stands once. `[pairs]`
        valued_subjects: as `subjects`, for the pairs that have a value. `[valued]`
        valued_codes: as `codes`, for those. `[valued]`
        places: the grid bin of each one's first value in time. `[valued]`
    """

    subject_ids: NDArray[np.int64]
    subjects: NDArray[np.int64]
    codes: NDArray[np.int64]
    valued_subjects: NDArray[np.int64]
    valued_codes: NDArray[np.int64]
    places: NDArray[np.int32]

    @classmethod
    def of(cls, events: Events, training: NDArray[np.int64]) -> "SubjectCodes":
        """Read a chunk of whole subjects.

        Args:
            events: each subject's sorted by time.
            training: the training subjects, rising.
        """
        num_codes = max(1, len(events.codes))
        starts = np.flatnonzero(np.diff(events.subject_ids, prepend=events.subject_ids[:1] - 1))
        subject_ids = events.subject_ids[starts]
        sizes = np.diff(starts, append=len(events))
        is_training = _contains(training, subject_ids)
        ranks = np.where(is_training, np.cumsum(is_training) - 1, -1).astype(np.int64)
        by_event = np.repeat(ranks, sizes)
        births = np.asarray([code == BIRTH_CODE for code in events.codes], dtype=bool)
        rows = np.flatnonzero((by_event >= 0) & ~births[events.code_indices])
        keys = by_event[rows] * num_codes + events.code_indices[rows].astype(np.int64)
        pairs = _unique(keys)
        valued = np.flatnonzero(~np.isnan(events.values[rows]))
        first, at = _first_of_each(keys[valued])
        return cls(
            subject_ids=subject_ids[is_training],
            subjects=pairs // num_codes,
            codes=pairs % num_codes,
            valued_subjects=first // num_codes,
            valued_codes=first % num_codes,
            places=bin_of(events.values[rows[valued[at]]]),
        )


def _contains(sorted_ids: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.bool_]:
    if sorted_ids.size == 0:
        return np.zeros(wanted.size, dtype=bool)
    places = np.minimum(np.searchsorted(sorted_ids, wanted), sorted_ids.size - 1)
    return np.asarray(sorted_ids[places] == wanted)


def _unique(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    ordered = np.sort(keys)
    return ordered[np.flatnonzero(np.diff(ordered, prepend=ordered[:1] - 1))]


def _first_of_each(keys: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Each different key, and the lowest place at which it stands."""
    # One sort of key and place together is quicker than a stable argsort.
    size = max(1, keys.size)
    ordered = np.sort(keys * size + np.arange(keys.size))
    different, places = np.divmod(ordered, size)
    first = np.flatnonzero(np.diff(different, prepend=different[:1] - 1))
    return different[first], places[first]
