"""Whether torch may take operations whose bits differ from run to run."""

import os

import torch

from fedehr_shared.errors import ConfigError

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
_REPEATABLE = (":4096:8", ":16:8")


def set_determinism(on: bool, device: torch.device) -> None:
    """Set it for this process; on a CPU all operations that we use are deterministic anyway.

    cuBLAS reads its workspace from the environment at its first call in the process.

    Raises:
        ConfigError: the environment asks cuBLAS for a workspace that is not deterministic.
    """
    on = on and device.type == "cuda"
    if on:
        found = os.environ.setdefault(WORKSPACE, _REPEATABLE[0])
        if found not in _REPEATABLE:
            raise ConfigError(
                f"the site file asks for [compute] deterministic = true, and the environment sets "
                f"{WORKSPACE} = {found!r}. Unset it, or set one of {', '.join(_REPEATABLE)}."
            )
    if torch.are_deterministic_algorithms_enabled() != on:
        torch.use_deterministic_algorithms(on)
