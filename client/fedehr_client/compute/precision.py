"""The precision of matrix products: what a device computes quickly, and entering it."""

from typing import Literal, cast

import torch

from fedehr_shared.errors import ConfigError

Precision = Literal["fp32", "bf16", "fp16"]

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_AMPERE = (8, 0)
_VOLTA = (7, 0)
_BF16_UNITS = ("amx_bf16", "avx512_bf16", "arm_bf16")
_NARROWEST_ON_CPU = 128
"""A narrower model casts more than it multiplies: with AVX512-BF16 a step of hidden 64 took 1.3
times as long in bf16, one of hidden 256 two thirds of the time."""


def choose_precision(wanted: str, device: torch.device, hidden: int | None = None) -> Precision:
    """`auto` takes bf16 where the device has units for it, else fp16 on a GPU with tensor cores,
    else fp32; on a CPU fp32 for narrow models in any case.

    On a processor without such units bf16 is emulated: a step of training took 20 times as long.

    Args:
        wanted: `auto` or a precision.
        device: where to compute.
        hidden: the model's width; None: wide.

    Raises:
        ConfigError: the device cannot compute in what is asked for.
    """
    if wanted == "auto":
        is_narrow = hidden is not None and hidden < _NARROWEST_ON_CPU
        return "fp32" if device.type == "cpu" and is_narrow else _fastest(device)
    if fault := _fault(wanted, device):
        raise ConfigError(
            f"the site file asks for [compute] precision = '{wanted}' and {fault}. "
            "Set it to 'auto' or 'fp32'."
        )
    return cast(Precision, wanted)


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """The context of a forward pass; weights, gradients and sums stay in float32."""
    return torch.autocast(device.type, _DTYPES[precision], enabled=precision != "fp32")


def bytes_of(precision: Precision) -> int:
    """Bytes of one activation."""
    return _DTYPES[precision].itemsize


def _fastest(device: torch.device) -> Precision:
    order: tuple[Precision, ...] = ("bf16", "fp16", "fp32")
    return next(precision for precision in order if _fault(precision, device) is None)


def _fault(precision: str, device: torch.device) -> str | None:
    """Why the device should not compute in that precision, or None."""
    if precision == "fp32":
        return None
    if device.type == "cuda":
        least = _AMPERE if precision == "bf16" else _VOLTA
        found = torch.cuda.get_device_capability(device)
        if found < least:
            return f"{torch.cuda.get_device_name(device)} (compute capability {found}) has no units"
        return None
    if precision == "fp16":
        return "a CPU has no units for it"
    if not any(torch.cpu.get_capabilities().get(unit) for unit in _BF16_UNITS):
        return "this CPU has no units for it (AMX or AVX512-BF16)"
    return None
