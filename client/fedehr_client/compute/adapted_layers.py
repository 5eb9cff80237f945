"""What a layer with adapters keeps for its backward pass, where its own matrices are frozen."""

from fedehr_client.compute.compute import Compute
from fedehr_client.compute.precision import bytes_of
from fedehr_shared.config.lora import LoraConfig

_FLOAT = 4
_REST = 0.3
"""In widths of float32: turns of positions, norms' scales and what else is small; measured."""


def adapted_layer_bytes(
    lora: LoraConfig, layer: int, compute: Compute, hidden: int, inner: int
) -> float:
    """Bytes a token, all kept.

    A frozen map keeps nothing of its input. What is left: the two residual streams in float32;
    q, k, v and what is mixed; SwiGLU's gate, its silu and up; each adapter's input, which those
    of q, k, v (and of gate, up) share in fp32 and cast for themselves else; and the narrow
    product. VeRA's outer vector keeps the wide one as well.

    Args:
        lora: `[lora]`.
        layer: from the lowest as 0.
        compute: for the precision.
        hidden: width of the stream.
        inner: width of SwiGLU.
    """
    size, targets = bytes_of(compute.precision), set(lora.target_modules)
    rank = lora.rank_of(layer)
    if rank == 0:
        targets = set()
    attending, feeding = targets & {"q", "k", "v"}, targets & {"gate", "up"}
    if compute.precision == "fp32":
        inputs = _FLOAT * (bool(attending) + bool(feeding))
    else:
        inputs = size * (len(attending) + len(feeding))
    wide = hidden * len(targets - {"gate", "up"}) + inner * len(feeding)
    products = (4 + ("o" in targets)) * hidden + (3 + ("down" in targets)) * inner
    products += rank * len(targets) + (wide if lora.variant == "vera" else 0)
    return hidden * (inputs + _FLOAT * (2 + _REST)) + size * products


def lowest_adapted(lora: LoraConfig, num_layers: int) -> int:
    """The lowest layer with adapters: those below it keep nothing at all."""
    return next(layer for layer in range(num_layers) if lora.rank_of(layer))
