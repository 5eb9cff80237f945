"""`rounded`: tensors as whoever receives them will hold them."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.config.exchange import WireDtype
from fedehr_shared.wire.codec.record import decode, encode


def rounded(
    tensors: Mapping[str, NDArray[np.float32]], dtype: WireDtype
) -> dict[str, NDArray[np.float32]]:
    """Encoded and decoded once; doing it again changes no bit.

    Args:
        tensors: float32 by name.
        dtype: one that rounds alike each time: not `int8`.

    Raises:
        WireError: as `encode`.
    """
    return decode(encode(tensors, dtype, compress=False))
