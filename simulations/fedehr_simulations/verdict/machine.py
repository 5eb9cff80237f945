"""`Machine` and versions: where a run's figures were taken. No host or user name."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

from pydantic import Field

from fedehr_simulations.verdict.result import Part, Text

PACKAGES = ("fedehr", "flwr", "torch", "numpy", "pyarrow", "scikit-learn", "safetensors")


class Machine(Part):
    """The machine that a run used."""

    cpu: Text
    num_cores: Annotated[int, Field(ge=1)]
    """Cores that the process may use."""
    memory_bytes: Annotated[int, Field(ge=1)]
    gpu: Text | None
    platform: Text


def describe_machine() -> Machine:
    """The machine that this process runs on."""
    import psutil

    return Machine(
        cpu=_cpu_model(),
        num_cores=len(os.sched_getaffinity(0)),
        memory_bytes=int(psutil.virtual_memory().total),
        gpu=_gpu_model(),
        platform=platform.platform(),
    )


def describe_versions() -> dict[str, str]:
    """Versions of Python and of the packages that shape a result."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return versions


def _cpu_model() -> str:
    """The first model name of /proc/cpuinfo, else the architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() == "model name" and value.strip():
            return value.strip()
    return platform.machine() or "unknown"


def _gpu_model() -> str | None:
    import torch

    return str(torch.cuda.get_device_name(0)) if torch.cuda.is_available() else None
