"""The digest of named tensors."""

import hashlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray


def digest_of(tensors: Mapping[str, NDArray[np.float32]], *about: str) -> str:
    """SHA-256 over names, shapes and float32 values, whatever the order of the names.

    Args:
        tensors: by name.
        about: what else the digest is to stand for.
    """
    digest = hashlib.sha256()
    for text in about:
        digest.update(text.encode() + b"\n")
    for name in sorted(tensors):
        tensor = np.ascontiguousarray(tensors[name], dtype="<f4")
        digest.update(f"{name}:{tensor.shape};".encode())
        # A view: the bytes of a large model are not copied.
        digest.update(tensor.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
