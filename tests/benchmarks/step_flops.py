"""Floating-point operations that a step needs, whoever takes it: the bar for its speed."""

from dataclasses import dataclass
from itertools import pairwise

from fedehr_shared.config.model import ModelConfig

FORMULA = (
    "3 x [2 T layers (4 d^2 + 3 d inner) + 4 layers d sum(L^2) + 2 M d V]: forward and twice that "
    "for backward; T tokens, L a subject's tokens, M hidden positions, V the vocabulary, d the "
    "width, inner SwiGLU's width; norms, rotations, sums, the optimizer and what is computed "
    "again in the backward pass count as nothing"
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
        cls, size: ModelConfig, num_tokens: int, boundaries: list[int], num_hidden: int
    ) -> "StepFlops":
        """Of a step over the sequences between `boundaries`.

        Args:
            size: the encoder's.
            num_tokens: the vocabulary's size.
            boundaries: `[sequences + 1]`, where each sequence begins.
            num_hidden: hidden positions.
        """
        lengths = [end - begin for begin, end in pairwise(boundaries)]
        inner = 8 * ((size.hidden * 8 // 3 + 7) // 8)
        weights = size.layers * (4 * size.hidden**2 + 3 * size.hidden * inner)
        squares = sum(length**2 for length in lengths)
        return cls(
            linear=3.0 * 2 * sum(lengths) * weights,
            attention=3.0 * 4 * size.layers * size.hidden * squares,
            head=3.0 * 2 * num_hidden * size.hidden * num_tokens,
        )

    @property
    def total(self) -> float:
        """All three."""
        return self.linear + self.attention + self.head
