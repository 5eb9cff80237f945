"""Floating-point operations that a step needs, whoever takes it: the bar for its speed."""

from dataclasses import dataclass
from itertools import pairwise

from fedehr_shared.config.model import ModelConfig

FORMULA = (
    "3 x [2 W T (layers - 1) + 4 d^2 T + 2 (W - 2 d^2) M + 4 d (layers - 1) sum(L^2) + "
    "4 d sum(L H) + 2 M d V], W = 4 d^2 + 3 d inner: forward and twice that for backward; T "
    "tokens, L a subject's tokens and H its hidden ones, M hidden positions, V the vocabulary, d "
    "the width, inner SwiGLU's width. The last layer has keys and values of all tokens and all "
    "else of hidden ones. Norms, rotations, sums, the optimizer and what is computed again in the "
    "backward pass count as nothing"
)


@dataclass(frozen=True)
class StepFlops:
    """One step's operations, as `FORMULA` counts them.

    Attributes:
        linear: of the matrices q, k, v, o, gate, up and down.
        attention: of every subject's scores and mixed values.
        head: of the logits at hidden positions.
    """

    linear: float
    attention: float
    head: float

    @classmethod
    def of(
        cls, size: ModelConfig, num_tokens: int, boundaries: list[int], hidden: list[int]
    ) -> "StepFlops":
        """Of a step over the sequences between `boundaries`.

        Args:
            size: the encoder's.
            num_tokens: the vocabulary's size.
            boundaries: `[sequences + 1]`, where each sequence begins.
            hidden: `[sequences + 1]`, where each sequence's hidden positions begin among all.
        """
        lengths = [end - begin for begin, end in pairwise(boundaries)]
        wanted = [end - begin for begin, end in pairwise(hidden)]
        inner = 8 * ((size.hidden * 8 // 3 + 7) // 8)
        layer = 4 * size.hidden**2 + 3 * size.hidden * inner
        of_all = layer * (size.layers - 1) + 2 * size.hidden**2
        of_wanted = layer - 2 * size.hidden**2
        squares = sum(length**2 for length in lengths) * (size.layers - 1)
        last = sum(length * num for length, num in zip(lengths, wanted, strict=True))
        return cls(
            linear=3.0 * 2 * (sum(lengths) * of_all + sum(wanted) * of_wanted),
            attention=3.0 * 4 * size.hidden * (squares + last),
            head=3.0 * 2 * sum(wanted) * size.hidden * num_tokens,
        )

    @property
    def total(self) -> float:
        """All three."""
        return self.linear + self.attention + self.head
