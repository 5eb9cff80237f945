"""`Plan`: how much `benchmark_step.py` measures."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes:
        sizes: encoders by name.
        contexts: in tokens.
        step_tokens: of a timed step; it is cut in pieces where memory runs out.
        bert_tokens: of a piece of BERT's, padding counted; halved while memory runs out.
        memory_tokens: the two budgets whose slope is the memory of a token.
        matmul: rows and columns of the matrix product.
        rounds: interleaved rounds.
        ladder: encoders (layers, hidden, heads) tried until memory runs out.
        lengths: lengths of a single sequence, likewise.
        loader_steps: steps over which the wait for batches is taken.
    """

    sizes: tuple[str, ...] = ("base", "large")
    contexts: tuple[int, ...] = (512, 2_048)
    step_tokens: int = 65_536
    bert_tokens: int = 32_768
    memory_tokens: tuple[int, int] = (8_192, 32_768)
    matmul: int = 8_192
    rounds: int = 7
    ladder: tuple[tuple[int, int, int], ...] = (
        (12, 768, 12), (24, 1_024, 16), (36, 1_280, 20), (36, 2_048, 32), (48, 2_560, 40),
        (48, 3_072, 48), (48, 4_096, 64),
    )  # fmt: skip
    lengths: tuple[int, ...] = (16_384, 32_768, 65_536, 131_072, 262_144)
    loader_steps: int = 40


QUICK = Plan(
    sizes=("tiny",), contexts=(64,), step_tokens=512, bert_tokens=512, memory_tokens=(128, 512),
    matmul=128, rounds=2, ladder=((1, 16, 2), (2, 32, 2)), lengths=(128, 256), loader_steps=3,
)  # fmt: skip
"""Shows that the script runs through; its figures mean nothing."""
