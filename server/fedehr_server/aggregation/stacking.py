"""The whole sum goes into the base, and adapters start anew."""

from fedehr_server.aggregation.adapted_matrix import AdaptedMatrix
from fedehr_server.aggregation.exact_sum import DrawA, ExactSum
from fedehr_shared.wire.payload import Arrays


class Stacking(ExactSum):
    """FLoRA (Wang et al. 2024): the stacked factors are the sum. They travel balanced, and
    without directions that hold nothing."""

    def __init__(
        self,
        matrices: tuple[AdaptedMatrix, ...],
        before: Arrays,
        total_weight: int,
        draw_a: DrawA,
    ) -> None:
        super().__init__("stacking", matrices, before, total_weight, draw_a, keeps_adapters=False)
