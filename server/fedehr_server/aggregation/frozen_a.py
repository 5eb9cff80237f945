"""A frozen, B averaged: exact, and half the bytes."""

from fedehr_server.aggregation.adapted_matrix import AdaptedMatrix
from fedehr_server.aggregation.one_factor import OneFactor
from fedehr_shared.wire.payload import Arrays


class FrozenA(OneFactor):
    """FFA-LoRA (Sun et al. 2024): A stays as it was drawn, and all sites share it."""

    def __init__(
        self, matrices: tuple[AdaptedMatrix, ...], before: Arrays, total_weight: int
    ) -> None:
        super().__init__(matrices, before, total_weight, moves_a=False)
