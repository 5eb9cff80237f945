"""AdamW's moments on the wire: two tensors a parameter, named after it."""

from collections.abc import Mapping

FIRST, SECOND_ROOT = ".first", ".second_root"
"""Suffixes. The second moment travels as its square root: a fixed-point sum would round a
small square to nothing."""


def moment_shapes(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the moments that parameters of these shapes may have."""
    return {
        name + suffix: shape for name, shape in shapes.items() for suffix in (FIRST, SECOND_ROOT)
    }
