"""Rare codes' subjects count for their parents, so that no count rests on few of them.

Deepest codes first: a code with enough subjects is counted; a rarer one hands its subjects to
its parent, where they join the parent's own and its other rare children's. Every code's
subjects are counted in one place at most, so that subtracting one count from another tells
nothing about the rare ones.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedehr_client.vocabulary.counts import CodeCounts
from fedehr_client.vocabulary.subjects import SubjectCodes
from fedehr_client.vocabulary.tree import CodeTree


@dataclass(frozen=True)
class RolledUp:
    """Counts that each rest on `min_cell` subjects.

    Attributes:
        by_row: by row of the tree, distinct subjects; of the rows in `joined` the code's own.
        joined: by row, the subjects of rare codes below that join a frequent code's own. Who
            of them has the code itself must be found before both are added.
    """

    by_row: dict[int, int]
    joined: dict[int, NDArray[np.int64]]

    def with_joined(self, chunks: Iterable[SubjectCodes]) -> dict[int, int]:
        """The counts, once those who joined and have the code as well are counted once.

        Args:
            chunks: all of the site's subjects; read only where a subject joined.
        """
        if not self.joined:
            return self.by_row
        counts = dict(self.by_row)
        for row, subjects in self.joined.items():
            counts[row] += subjects.size
        keys, subject_ids = self._keys()
        for chunk in chunks:
            for row, both in _num_in_both(chunk, keys, subject_ids):
                counts[row] -= both
        return counts

    def _keys(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(row, subject) of all who joined as one integer, rising; and the subjects, rising."""
        subject_ids = np.unique(np.concatenate(list(self.joined.values())))
        keys = [
            row * subject_ids.size + np.searchsorted(subject_ids, subjects)
            for row, subjects in self.joined.items()
        ]
        return np.sort(np.concatenate(keys)), subject_ids


def roll_up(tree: CodeTree, counts: CodeCounts, min_cell: int) -> RolledUp:
    """Count each code with enough subjects, and each group of rarer ones.

    Args:
        tree: its first rows are the codes that `counts` counts.
        counts: the site's.
        min_cell: the least number of subjects in a count.
    """
    own = counts.by_code
    by_row = {row: int(own[row]) for row in np.flatnonzero(own >= min_cell).tolist()}
    waiting: dict[int, dict[int, list[NDArray[np.int64]]]] = {}
    for row, subjects in counts.rare.items():
        waiting.setdefault(int(tree.depths[row]), {})[row] = [subjects]
    joined: dict[int, NDArray[np.int64]] = {}
    for depth in range(max(waiting, default=0), 0, -1):
        for row, groups in waiting.pop(depth, {}).items():
            group = np.unique(np.concatenate(groups))
            parent = int(tree.parents[row])
            if row in by_row:
                joined[row] = group
            elif group.size >= min_cell:
                by_row[row] = int(group.size)
            elif parent >= 0:
                waiting.setdefault(depth - 1, {}).setdefault(parent, []).append(group)
    return RolledUp(by_row, joined)


def _num_in_both(
    chunk: SubjectCodes, keys: NDArray[np.int64], subject_ids: NDArray[np.int64]
) -> Iterable[tuple[int, int]]:
    """By row, how many of the chunk's (row, subject) pairs are among `keys`."""
    subjects = chunk.subject_ids[chunk.subjects]
    at = np.minimum(np.searchsorted(subject_ids, subjects), subject_ids.size - 1)
    known = subject_ids[at] == subjects
    pairs = chunk.codes[known] * subject_ids.size + at[known]
    places = np.minimum(np.searchsorted(keys, pairs), keys.size - 1)
    rows, sizes = np.unique(chunk.codes[known][keys[places] == pairs], return_counts=True)
    return zip(rows.tolist(), sizes.tolist(), strict=True)
