"""`[compute]` of a TOML file, whatever else stands in it."""

from pathlib import Path

from pydantic import ConfigDict

from fedehr_client.compute.config import ComputeConfig
from fedehr_shared.config.section import Section, read_toml


class _ComputeFile(Section):
    """A site file, or one that holds this section alone."""

    model_config = ConfigDict(extra="ignore")

    compute: ComputeConfig


def read_compute(path: Path) -> ComputeConfig:
    """Read the section.

    Raises:
        ConfigError: the file is missing, is not TOML, has no such section or a wrong key in it.
    """
    return read_toml(path, _ComputeFile).compute
