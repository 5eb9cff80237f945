"""Which subjects each shadow model learns from: half of them, drawn in pairs."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.seeds import derive_generator


def drawn_members(
    subject_ids: Sequence[int], num_shadows: int, *seed: str | int
) -> NDArray[np.bool_]:
    """One row a shadow; an even one and the next are each other's complement.

    So each subject is in half of the shadows, wherever else its records lie.

    Args:
        subject_ids: of the whole federation, each once.
        num_shadows: an even number.
        seed: of the draws.

    Shape: `[shadows, subjects]`.
    """
    members = np.zeros((num_shadows, len(subject_ids)), dtype=np.bool_)
    for pair in range(0, num_shadows, 2):
        order = derive_generator("shadows", pair, *seed).permutation(len(subject_ids))
        members[pair, order[: len(subject_ids) // 2]] = True
        members[pair + 1] = ~members[pair]
    return members
