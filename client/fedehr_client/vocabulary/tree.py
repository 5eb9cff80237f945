"""`CodeTree`: a site's codes and every code above them, as rows with the row of their parent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.vocabulary.ancestors import ancestor_chain


@dataclass(frozen=True)
class CodeTree:
    """Codes in the order of the code table, then the ancestors that the table lacks.

    Attributes:
        names: `[rows]`.
        parents: each row's parent, -1 where there is none; codes in a cycle have none. It is
            the one that the site gives, else the one that the code's spelling gives
            (`fedehr_shared.vocabulary.structure`). `[rows]`
        depths: the length of each row's chain to the top, itself included. `[rows]`
    """

    names: tuple[str, ...]
    parents: NDArray[np.int64]
    depths: NDArray[np.int64]

    @classmethod
    def of(cls, codes: Sequence[str], parents: Mapping[str, str]) -> "CodeTree":
        """The tree of `codes`, with the parents that the site gives."""
        rows = {code: row for row, code in enumerate(codes)}
        chains = [ancestor_chain(code, parents) for code in codes]
        lacking = dict.fromkeys(name for chain in chains for name in chain if name not in rows)
        rows |= {name: len(rows) + place for place, name in enumerate(lacking)}
        chains += [ancestor_chain(name, parents) for name in lacking]
        depths = np.asarray([len(chain) for chain in chains], dtype=np.int64)
        above = [rows[chain[1]] if len(chain) > 1 else -1 for chain in chains]
        direct = np.asarray(above, dtype=np.int64)
        # Only within a cycle is a parent not exactly one step nearer to the top.
        in_cycle = (direct >= 0) & (depths[direct] != depths - 1)
        return cls(tuple(rows), np.where(in_cycle, -1, direct), depths)

    @cached_property
    def closure(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Each row's own row and all above it.

        Returns:
            `(starts, rows)`: row i's are `rows[starts[i] : starts[i + 1]]`.
        """
        members: list[int] = []
        starts = [0]
        for row in range(len(self.names)):
            at = row
            while at >= 0:
                members.append(at)
                at = int(self.parents[at])
            starts.append(len(members))
        return np.asarray(starts, dtype=np.int64), np.asarray(members, dtype=np.int64)
