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
            "Set [site] device = 'auto', or mend the driver."
        )
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(wanted)
