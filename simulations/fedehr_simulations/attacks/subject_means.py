"""`subject_means`: from examples to subjects."""

import numpy as np
from numpy.typing import NDArray


def subject_means(
    subject_ids: NDArray[np.int64], values: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Each subject's mean over its examples, of what is not NaN.

    Args:
        subject_ids: `[examples]`.
        values: `[examples, columns]`.

    Returns:
        The subjects, rising, `[subjects]`; their means, `[subjects, columns]`, NaN where a
        subject has none.
    """
    subjects, rows = np.unique(subject_ids, return_inverse=True)
    known = ~np.isnan(values)
    sums = np.zeros((subjects.size, values.shape[1]))
    counts = np.zeros_like(sums)
    np.add.at(sums, rows, np.where(known, values, 0.0))
    np.add.at(counts, rows, known)
    return subjects, np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
