"""The environment of a process that computes: what it needs, and no passwords of others."""

from collections.abc import Mapping
from pathlib import Path

from fedehr_client.child.work_places import WorkPlaces
from fedehr_client.locator import SITE_FILE

MEMORY_BYTES = "FEDEHR_MEMORY_BYTES"
"""What the process may hold of the machine's memory."""

_NAMES = frozenset(
    {
        "CC", "CXX", "HOME", "LANG", "LD_LIBRARY_PATH", "LD_PRELOAD", "LOGNAME", "PATH",
        "SYSTEMROOT", "TZ", "USER", "VIRTUAL_ENV", "XDG_CACHE_HOME",
    }
)  # fmt: skip
_PREFIXES = (
    "CUBLAS_", "CUDA_", "FEDEHR_", "GOMP_", "KMP_", "LC_", "MALLOC_", "MKL_", "NVIDIA_", "OMP_",
    "OPENBLAS_", "PYTHON", "PYTORCH_", "TORCH", "TRITON_",
)  # fmt: skip
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def child_environment(
    environ: Mapping[str, str],
    site_file: Path,
    places: WorkPlaces,
    num_cpus: int,
    most_bytes: int,
) -> dict[str, str]:
    """Of the worker's environment what concerns computing; proxies and keys stay behind.

    Args:
        environ: the worker's.
        site_file: says where the records lie.
        places: where it may write.
        num_cpus: processors that libraries start threads for; 0: as they like.
        most_bytes: of memory, for whoever fits a model into it.
    """
    kept = {
        name: value
        for name, value in environ.items()
        if name in _NAMES or name.startswith(_PREFIXES)
    }
    threads = dict.fromkeys(_THREADS, str(num_cpus)) if num_cpus else {}
    own = {SITE_FILE: str(site_file.absolute()), MEMORY_BYTES: str(most_bytes)}
    return {**kept, **threads, **places.environment, **own, "PYTHONUNBUFFERED": "1"}
