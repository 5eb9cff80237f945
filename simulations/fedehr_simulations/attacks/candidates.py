"""`SubjectConfidences`: how sure a model is of the truth, subject by subject."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.meds.reader import read_splits
from fedehr_shared.meds.schema import HELD_OUT, TRAIN

CANDIDATE_SPLITS = (TRAIN, HELD_OUT)
"""Of whose membership an attacker guesses; the tuning split chose nothing but numbers."""


@dataclass(frozen=True)
class SubjectConfidences:
    """What a model gives away of the subjects that an attacker asks it about.

    Attributes:
        sites: `[subjects]`, where each one's records lie.
        subject_ids: `[subjects]` int64, rising within a site.
        confidences: `[subjects, questions]`, higher where the model is surer of what is true; of
            a roughly normal spread over models; NaN where there is no answer.
        losses: `[subjects, questions]`, nats; NaN at the same places.
    """

    sites: NDArray[np.str_]
    subject_ids: NDArray[np.int64]
    confidences: NDArray[np.float64]
    losses: NDArray[np.float64]

    def __len__(self) -> int:
        """The number of subjects, one that two sites know counted twice."""
        return int(self.subject_ids.size)

    @classmethod
    def joined(cls, parts: Sequence["SubjectConfidences"]) -> "SubjectConfidences":
        """Those of several sites, one below the other."""
        return cls(
            np.concatenate([part.sites for part in parts]),
            np.concatenate([part.subject_ids for part in parts]),
            np.concatenate([part.confidences for part in parts]),
            np.concatenate([part.losses for part in parts]),
        )


def read_members(
    sites: Sequence[SiteFolder], of_sites: NDArray[np.str_], subject_ids: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Whether each candidate is in the train split of its site. `[subjects]`."""
    splits = {site.name: read_splits(site) for site in sites}
    pairs = zip(of_sites.tolist(), subject_ids.tolist(), strict=True)
    return np.asarray([splits[site][subject] == TRAIN for site, subject in pairs], dtype=np.bool_)


def read_candidates(sites: Sequence[SiteFolder]) -> NDArray[np.int64]:
    """All subjects whose membership is guessed at, each once and rising. `[subjects]`."""
    found = {
        subject
        for site in sites
        for subject, split in read_splits(site).items()
        if split in CANDIDATE_SPLITS
    }
    return np.asarray(sorted(found), dtype=np.int64)
