"""`Bag`: how often each token stands before the prediction time, and the age then."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedehr_client.answers.site_data import SiteData
from fedehr_client.training.examples import Examples
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.meds.schema import SPLITS
from fedehr_shared.tokens.store import HOURS_PER_YEAR, TokenStore
from fedehr_shared.vocabulary.vocabulary import Vocabulary
from fedehr_simulations.outcome.finished_run import site_location


@dataclass(frozen=True)
class Bag:
    """Examples of one split.

    Attributes:
        counts: `[examples, tokens]`, a sparse matrix.
        ages: `[examples]`, years at the last event; NaN where unknown.
        examples: whose they are, with their labels.
    """

    counts: Any
    ages: NDArray[np.float64]
    examples: Examples


def read_bags(
    study: StudyConfig, site: SiteFolder, vocabulary: Vocabulary, work: Path
) -> dict[str, Bag]:
    """The site's bags, by split.

    Raises:
        DataError: a file is damaged.
    """
    data = SiteData(site_location(study, site, work), study, vocabulary)
    return {
        split: _bag(data.store, data.examples(split), vocabulary.num_tokens) for split in SPLITS
    }


def _bag(store: TokenStore, examples: Examples, num_tokens: int) -> Bag:
    """A window may leave out early events of a long history; the bag holds them all."""
    from scipy.sparse import csr_matrix

    ends = examples.windows.ends
    rows = store.rows_of(examples.subject_ids)
    begins = np.where(rows >= 0, store.offsets[np.maximum(rows, 0)], ends)
    places = [np.arange(begin, end) for begin, end in zip(begins, ends, strict=True)]
    tokens = store.tokens[np.concatenate([np.empty(0, dtype=np.int64), *places])]
    owners = np.repeat(np.arange(len(examples)), ends - begins)
    counts = csr_matrix((np.ones(tokens.size), (owners, tokens)), shape=(len(examples), num_tokens))
    ages = np.full(len(examples), np.nan)
    seen = ends > begins
    years = store.hours[ends[seen] - 1] / HOURS_PER_YEAR
    ages[seen] = store.first_ages[rows[seen]] + years
    return Bag(counts, ages, examples)
