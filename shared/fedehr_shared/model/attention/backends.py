"""`AttentionBackend`: the ways of computing attention, by name, and where each can be used."""

from collections.abc import Callable
from typing import Literal, get_args

import torch

from fedehr_shared.errors import ConfigError
from fedehr_shared.model.attention.attention_layout import AttentionLayout
from fedehr_shared.model.attention.flex import attend_flex
from fedehr_shared.model.attention.padded import attend_padded
from fedehr_shared.model.attention.per_subject import attend_per_subject

AttentionName = Literal["sdpa", "varlen", "flex", "padded"]
AttentionBackend = Callable[
    [torch.Tensor, torch.Tensor, torch.Tensor, AttentionLayout], torch.Tensor
]

_VARLEN = "varlen"
_BACKENDS: dict[str, AttentionBackend] = {
    "sdpa": attend_per_subject,
    "flex": attend_flex,
    "padded": attend_padded,
}
_NAMES: tuple[str, ...] = get_args(AttentionName)
assert {*_BACKENDS, _VARLEN} == set(_NAMES)


def attention_backend(name: str) -> AttentionBackend:
    """The function of that name: query `[queries, heads, head_size]`, key and value `[keys, heads,
    head_size]` to what each query mixes, of the query's shape.

    Raises:
        ConfigError: there is none of that name.
    """
    _require_known(name)
    if name == _VARLEN:
        # It loads torch's compiler: a second, which no process without CUDA should spend.
        from fedehr_shared.model.attention.varlen import attend_varlen

        return attend_varlen
    return _BACKENDS[name]


def bears_compiling(backend: AttentionBackend) -> bool:
    """Whether a backend may stand in a compiled layer: its code is the same for all lengths."""
    return backend is attend_flex or backend.__name__ == "attend_varlen"


def available(
    name: str, device_type: str, precision: str, head_size: int | None = None
) -> str | None:
    """Why a backend cannot train here; None where it can.

    Args:
        name: the backend.
        device_type: `cpu` or `cuda`.
        precision: of the matrix products: `fp32`, `bf16` or `fp16`.
        head_size: `hidden / heads`; None: whatever suits.

    Raises:
        ConfigError: there is no backend of that name.
    """
    _require_known(name)
    if name == _VARLEN:
        return _varlen_fault(device_type, precision, head_size)
    if name == "flex":
        return _flex_fault(device_type, head_size)
    return None


def _require_known(name: str) -> None:
    if name not in _NAMES:
        raise ConfigError(
            f"there is no attention backend '{name}'. Set one of {', '.join(_NAMES)}."
        )


def _varlen_fault(device_type: str, precision: str, head_size: int | None) -> str | None:
    if device_type != "cuda":
        return "varlen attention has kernels for CUDA alone"
    if precision == "fp32":
        return "varlen attention computes in bf16 or fp16 alone, not in fp32"
    if head_size is not None and (head_size % 8 or head_size > 256):
        return f"varlen attention needs heads of a multiple of 8, at most 256, not {head_size}"
    if torch.cuda.is_available() and torch.cuda.get_device_capability() < (8, 0):
        return "varlen attention needs a GPU of compute capability 8.0 (Ampere) or later"
    return None


def _flex_fault(device_type: str, head_size: int | None) -> str | None:
    if device_type != "cuda":
        return "flex attention has no backward pass on a CPU"
    if head_size is not None and head_size < 16:
        return f"flex attention needs heads of at least 16, not {head_size}"
    return None
