"""First values of adapters: at the start they change nothing."""

import numpy as np
from numpy.typing import NDArray

_FIRST_D = 0.1


def draw_adapter(
    name: str, shape: tuple[int, ...], generator: np.random.Generator
) -> NDArray[np.float32]:
    """The first value of an adapter's parameter.

    - LoRA: B is zero; A is uniform within 1 / sqrt(columns), as the paper's own program draws it
      (Hu et al. 2022; He et al. 2015 with slope sqrt(5))
    - VeRA: b is zero, d is 0.1 (Kopiczko et al. 2024)

    Args:
        name: as in `named_parameters`.
        shape: of the parameter.
        generator: of this parameter alone.
    """
    if ".lora_A." in name:
        bound = shape[1] ** -0.5
        return generator.uniform(-bound, bound, shape).astype(np.float32)
    return np.full(shape, _FIRST_D if ".vera_d." in name else 0.0, dtype=np.float32)
