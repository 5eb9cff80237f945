"""Ways to make bytes of a model and a model of bytes: ours, and what one would pick otherwise."""

import io
import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

from fedehr_shared.wire.codec.record import decode, encode

Model = dict[str, Any]
Format = tuple[Callable[[Model], bytes], Callable[[bytes], Model]]
HIDDEN, FEED, NUM_TOKENS = 768, 2048, 30_000


def make_model(num_parameters: int) -> Model:
    """Embeddings and layers of 768 x 768 and 2,048 x 768, normal as weights are."""
    generator = np.random.default_rng(0)
    shapes: dict[str, tuple[int, int]] = {}
    if num_parameters > 2 * NUM_TOKENS * HIDDEN:
        shapes["encoder.token_embedding.weight"] = (NUM_TOKENS, HIDDEN)
    while sum(a * b for a, b in shapes.values()) < num_parameters:
        layer = f"encoder.blocks.{len(shapes)}"
        shapes |= {f"{layer}.{name}.weight": (HIDDEN, HIDDEN) for name in "qkvo"}
        shapes |= {f"{layer}.{name}.weight": (FEED, HIDDEN) for name in ("gate", "up", "down")}
    model: Model = {}
    for name, shape in shapes.items():
        model[name] = generator.standard_normal(shape, dtype=np.float32)
        model[name] *= np.float32(0.03)
    return model


def _ours(dtype: Any, compress: bool, model: Model) -> bytes:
    return encode(model, dtype, compress=compress, generator=np.random.default_rng(0))


def _to_npz(model: Model) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **model)
    return buffer.getvalue()


def _from_npz(data: bytes) -> Model:
    with np.load(io.BytesIO(data)) as opened:
        return {name: opened[name] for name in opened.files}


def _to_pickle(model: Model) -> bytes:
    return pickle.dumps(model, protocol=5)


def _to_torch(model: Model) -> bytes:
    buffer = io.BytesIO()
    torch.save({name: torch.from_numpy(array) for name, array in model.items()}, buffer)
    return buffer.getvalue()


def _to_torch_half(model: Model) -> bytes:
    buffer = io.BytesIO()
    torch.save({name: torch.from_numpy(array).half() for name, array in model.items()}, buffer)
    return buffer.getvalue()


def _from_torch(data: bytes) -> Model:
    loaded = torch.load(io.BytesIO(data), weights_only=True)
    return {name: tensor.float().numpy() for name, tensor in loaded.items()}


def _to_numpy_half(model: Model) -> bytes:
    return b"".join(array.astype(np.float16).tobytes() for array in model.values())


def _from_numpy_half(data: bytes) -> Model:
    return {"all": np.frombuffer(data, np.float16).astype(np.float32)}


FORMATS: dict[str, Format] = {
    **{
        f"ours_{dtype}{'' if compress else '_plain'}": (partial(_ours, dtype, compress), decode)
        for dtype in ("fp16", "bf16", "int8", "fp32")
        for compress in (True, False)
    },
    "npz_fp32": (_to_npz, _from_npz),
    "pickle_fp32": (_to_pickle, pickle.loads),
    "torch_fp32": (_to_torch, _from_torch),
    "torch_fp16": (_to_torch_half, _from_torch),
    "numpy_fp16_bytes": (_to_numpy_half, _from_numpy_half),
}
"""`ours_fp16` is what a study does unless it says otherwise. NumPy's bare bytes have no names,
shapes or checksums."""
