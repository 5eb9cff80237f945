"""`Encodings`: labelled examples as a frozen encoder sees them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedehr_client.answers.site_data import SiteData
from fedehr_shared.meds.schema import SPLITS
from fedehr_simulations.probe.frozen_encoder import FrozenEncoder


@dataclass(frozen=True)
class Encodings:
    """Examples of one split, of one site or of several.

    Attributes:
        vectors: `[examples, hidden]`.
        labels: `[examples, tasks]`: 0, 1, or NaN where a task has no label.
        subject_ids: `[examples]` int64.
    """

    vectors: NDArray[np.float64]
    labels: NDArray[np.float64]
    subject_ids: NDArray[np.int64]

    @property
    def subjects(self) -> NDArray[np.int64]:
        """A number for each example's subject, from 0. `[examples]`."""
        _, numbers = np.unique(self.subject_ids, return_inverse=True)
        return np.asarray(numbers, dtype=np.int64)

    def at(self, rows: NDArray[np.int64]) -> "Encodings":
        """Some of the examples, in this order."""
        return Encodings(self.vectors[rows], self.labels[rows], self.subject_ids[rows])


def encode_site(encoder: FrozenEncoder, data: SiteData) -> dict[str, Encodings]:
    """All labelled examples of a site, by split.

    Raises:
        MissingTaskError: the site has no labels for one of the study's tasks.
    """
    found = {}
    for split in SPLITS:
        examples = data.examples(split)
        found[split] = Encodings(
            encoder.encode(data.store, examples.windows),
            examples.labels.astype(np.float64),
            examples.subject_ids,
        )
    return found


def join_sites(sites: Sequence[dict[str, Encodings]]) -> dict[str, Encodings]:
    """The sites' examples end to end, by split."""
    return {
        split: Encodings(
            np.concatenate([site[split].vectors for site in sites]),
            np.concatenate([site[split].labels for site in sites]),
            np.concatenate([site[split].subject_ids for site in sites]),
        )
        for split in SPLITS
    }
