"""B in odd rounds, A in even ones: exact, and half the bytes up."""

from fedehr_server.aggregation.adapted_matrix import AdaptedMatrix
from fedehr_server.aggregation.one_factor import OneFactor
from fedehr_shared.wire.payload import Arrays


class Alternating(OneFactor):
    """RoLoRA (Chen et al. 2024): both factors learn, one at a time."""

    def __init__(
        self,
        matrices: tuple[AdaptedMatrix, ...],
        before: Arrays,
        total_weight: int,
        round_number: int,
    ) -> None:
        """`round_number`: from 1; B comes first, since A learns nothing while B is zero."""
        super().__init__(matrices, before, total_weight, moves_a=round_number % 2 == 0)
