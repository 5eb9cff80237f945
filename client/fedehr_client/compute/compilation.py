"""Whether layers are compiled."""

import os
import shutil

import torch

from fedehr_shared.errors import ConfigError

_C_COMPILERS = ("cc", "gcc", "clang")
_WITH_COMPILED_ATTENTION = ("varlen", "flex")


def choose_compile(wanted: str, device: torch.device, attention: str) -> bool:
    """`auto` compiles on CUDA. On a CPU compiled layers were no quicker (0.98 times).

    Not with attention one subject at a time, whose loop a graph cannot hold.

    Raises:
        ConfigError: compiling is asked for and a tool for it is missing.
    """
    fault = compile_fault(device)
    if wanted == "auto":
        suits = device.type == "cuda" and attention in _WITH_COMPILED_ATTENTION
        return suits and fault is None
    if wanted == "on" and fault:
        raise ConfigError(
            f"the site file asks for [compute] compile = 'on' on {device.type}, and {fault}. "
            "Set it to 'auto' or 'off'."
        )
    return wanted == "on"


def compile_fault(device: torch.device) -> str | None:
    """Why nothing can be compiled for the device, or None."""
    compilers = [os.environ.get("CXX" if device.type == "cpu" else "CC", ""), *_C_COMPILERS]
    if not any(name and shutil.which(name) for name in compilers):
        return "there is no C compiler"
    if device.type == "cuda" and not _has_triton():
        return "the package triton is missing or does not know this GPU"
    return None


def _has_triton() -> bool:
    from torch.utils._triton import has_triton

    return bool(has_triton())
