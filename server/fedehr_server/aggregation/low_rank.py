"""`LowRank`: a matrix as the product of two narrow factors, which is never multiplied out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class LowRank:
    """`left @ right`.

    Attributes:
        left: `[out, rank]` float64.
        right: `[rank, in]` float64.
    """

    left: Matrix
    right: Matrix

    @classmethod
    def total(cls, parts: Sequence["LowRank"]) -> "LowRank":
        """The sum: factors beside each other, and of the ranks' sum."""
        lefts, rights = [part.left for part in parts], [part.right for part in parts]
        return cls(np.concatenate(lefts, axis=1), np.concatenate(rights, axis=0))

    def scaled(self, factor: float) -> "LowRank":
        """`factor` times this."""
        return LowRank(self.left * factor, self.right)

    @property
    def rank(self) -> int:
        """Columns of `left`; the matrix' own rank may be lower."""
        return int(self.left.shape[1])

    @property
    def norm(self) -> float:
        """Frobenius norm of the product: that of the small matrix between two rotations."""
        _, core, _ = self._core()
        return float(np.linalg.norm(core))

    def split(self, rank: int) -> tuple["LowRank", "LowRank"]:
        """The best approximation of a rank (Eckart and Young 1936), and what it leaves.

        Both are balanced: `left` and `right` hold the square root of each singular value.
        The first holds fewer than `rank` columns where the matrix' own rank is lower. Signs of
        singular vectors are fixed, so that equal factors give equal bits.

        Raises:
            numpy.linalg.LinAlgError: the decomposition does not converge.
        """
        left, core, right = self._core()
        u, sizes, v = np.linalg.svd(core, full_matrices=False)
        # Below this singular values are rounding (Golub and Van Loan 2013, section 5.4.1).
        num = int(np.sum(sizes > sizes[:1].sum() * max(core.shape) * np.finfo(np.float64).eps))
        u, sizes, v = u[:, :num], sizes[:num], v[:num]
        largest = np.abs(u).argmax(axis=0)
        roots = np.sqrt(sizes) * np.where(u[largest, np.arange(num)] < 0, -1.0, 1.0)
        whole = LowRank(_apply(left, u * roots), _apply(right, (roots[:, None] * v).T).T)
        best = LowRank(whole.left[:, :rank], whole.right[:rank])
        return best, LowRank(whole.left[:, rank:], whole.right[rank:])

    def _core(self) -> tuple[Matrix | None, Matrix, Matrix | None]:
        """Orthonormal columns, a small matrix, orthonormal columns; None: the identity."""
        q_left, r_left = _triangle(self.left)
        q_right, r_right = _triangle(self.right.T)
        return q_left, r_left @ r_right.T, q_right


def _triangle(factor: Matrix) -> tuple[Matrix | None, Matrix]:
    """QR; a factor that is not taller than wide gains nothing from it and stays as it is."""
    rows, columns = factor.shape
    if columns >= rows:
        return None, factor
    q, r = np.linalg.qr(factor)
    return q, r


def _apply(q: Matrix | None, columns: Matrix) -> Matrix:
    return columns if q is None else q @ columns
