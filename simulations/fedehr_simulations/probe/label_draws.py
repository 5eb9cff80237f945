"""Which labels a probe with few of them may see."""

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.seeds import derive_generator


def drawn_rows(
    labels: NDArray[np.float64], num_labels: int | None, *seed_parts: str | int
) -> NDArray[np.int64]:
    """`num_labels` rows that have a label, drawn without regard to the site; None: all of them.

    Draws are nested, as in EHRSHOT (Wornow et al. 2023): a smaller one with the same seed is
    the beginning of a larger.

    Args:
        labels: `[rows]`, NaN where there is none.
        num_labels: how many; all there are where there are fewer.
        seed_parts: name the draw.

    Shape: `[drawn]`.
    """
    known = np.flatnonzero(~np.isnan(labels))
    if num_labels is None:
        return known
    return derive_generator("labels", *seed_parts).permutation(known)[:num_labels]
