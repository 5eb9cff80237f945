"""What the sites of a simulation compute with, in every process of it.

One setting for all sites, in the environment: the engine's processes and the workers of a
comparison inherit it.
"""

import os
from pathlib import Path

from fedehr_client.compute.config import ComputeConfig
from fedehr_client.compute.file import read_compute
from fedehr_client.locator import COMPUTE, compute_of


def set_sites_compute(file: Path | None) -> None:
    """Take the `[compute]` section of a TOML file for all sites; None: leave it as it is.

    Raises:
        ConfigError: the file is missing or wrong.
    """
    if file is not None:
        os.environ[COMPUTE] = read_compute(file).model_dump_json()


def sites_compute(num_threads: int | None) -> ComputeConfig:
    """The setting, or the usual one; `num_threads` where it names no number itself.

    Raises:
        ConfigError: the environment holds a wrong one.
    """
    compute = compute_of(os.environ)
    return compute.model_copy(update={"num_threads": compute.num_threads or num_threads})
