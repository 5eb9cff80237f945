"""The private output bias that a site kept, read where the site keeps it."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedehr_client.training.local_state import LocalState
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import DataError

BIAS = "private.values"
"""Its name in what `CarryOver` keeps."""


def own_bias(study: StudyConfig, vocabulary_digest: str, work: Path) -> NDArray[np.float32] | None:
    """The bias after the last round of pre-training; None where the study asks for none.

    Args:
        study: the study that ran.
        vocabulary_digest: of its vocabulary.
        work: the site's private folder.

    Shape: `[vocabulary]`.

    Raises:
        DataError: the site kept none.
    """
    if not study.pretraining.private_bias:
        return None
    state = LocalState(work, study.digest, "pretraining", vocabulary_digest)
    kept = state.before(study.pretraining.rounds + 1)
    if kept is None or BIAS not in kept:
        raise DataError(f"no private bias of the site is kept in {work}. Run the study again.")
    return kept[BIAS].numpy()
