"""The processor that a site trains on."""

import torch

from fedehr_shared.errors import ConfigError


def choose_device(wanted: str) -> torch.device:
    """`auto` takes a CUDA device where there is one.

    Raises:
        ConfigError: `cuda` is asked for and absent.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "the site file asks for device 'cuda' and there is none. "
            "Set [compute] device = 'auto', or mend the driver."
        )
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(wanted)


def device_name(device: torch.device) -> str:
    """The device in words: `cuda NVIDIA H100`, `cpu, 4 threads`."""
    if device.type == "cuda":
        return f"cuda {torch.cuda.get_device_name(device)}"
    return f"{device.type}, {torch.get_num_threads()} threads"
