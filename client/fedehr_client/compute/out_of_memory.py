"""Telling that memory ran out from other errors, and giving back what can be given back."""

import gc

import torch

_CPU_WORDS = ("can't allocate memory", "not enough memory", "out of memory", "bad_alloc")
"""What torch's allocators and oneDNN say on a CPU, where the error has no class of its own."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device or the machine had no memory left."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _CPU_WORDS)


def release_memory(device: torch.device) -> None:
    """Give back what nothing refers to any more."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
