"""The sites' products summed and cut to the rank; what is cut off goes into the base."""

from fedehr_server.aggregation.adapted_matrix import AdaptedMatrix
from fedehr_server.aggregation.exact_sum import DrawA, ExactSum
from fedehr_shared.wire.payload import Arrays


class Reprojection(ExactSum):
    """Exact aggregation as FedEx-LoRA's (Singhal et al. 2024), with the best low-rank part of
    the sum, instead of the mean factors, as the next adapters."""

    def __init__(
        self,
        matrices: tuple[AdaptedMatrix, ...],
        before: Arrays,
        total_weight: int,
        draw_a: DrawA,
    ) -> None:
        super().__init__(
            "reprojection", matrices, before, total_weight, draw_a, keeps_adapters=True
        )
