"""The environment of every engine process."""

import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path

from fedehr_client.locator import CEILINGS, COMPUTE, MIN_CELL
from fedehr_simulations.engine.plan import EnginePlan

# A person's own settings for the engine or Ray could send records into their cluster, and
# a proxy could carry loopback requests off the machine.
_DROPPED_PREFIXES = ("RAY_", "FLWR_", "FEDEHR_")
_DROPPED_SUFFIX = "_proxy"
_OF_THE_SITES = frozenset({CEILINGS, COMPUTE, MIN_CELL})

_QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.1",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Ray starts its own instance and never joins one it finds.
    "RAY_ADDRESS": "local",
    # The name misleads: off means that Ray takes 127.0.0.1 as this machine's address, and
    # then every one of its processes binds to loopback, on Linux too.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    # Without it Ray hides the GPU from actors that ask for none; ours share it.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "NO_PROXY": "*",
    # What was printed before a kill is in the log.
    "PYTHONUNBUFFERED": "1",
}


def engine_environment(
    plan: EnginePlan, *, private: Path, work: Path, inherited: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """The variables for the SuperLink and all it starts.

    Args:
        plan: the simulation.
        private: a short private folder for the engine's own files and Ray's sockets.
        work: private scratch folder of the sites.
        inherited: the variables to start from; of our own, what holds for the
            sites goes on.
    """
    kept = {
        name: value
        for name, value in inherited.items()
        if not name.startswith(_DROPPED_PREFIXES) and not name.lower().endswith(_DROPPED_SUFFIX)
    }
    if python_path := kept.get("PYTHONPATH"):
        # The engine's processes work in another folder.
        parts = [os.path.abspath(part) for part in python_path.split(os.pathsep)]
        kept["PYTHONPATH"] = os.pathsep.join(parts)
    scripts = str(Path(sys.executable).parent)
    return (
        kept
        | _QUIET
        | {
            "PATH": os.pathsep.join([scripts, kept.get("PATH", os.defpath)]),
            "FLWR_HOME": str(private / "flwr"),
            "RAY_TMPDIR": str(private),
            # Where the machine's own loopback must do, other users of it get no answer from Ray.
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "FEDEHR_COORDINATOR_FOLDER": plan.coordinator_folder,
            "FEDEHR_SITES_FOLDER": plan.sites_folder,
            "FEDEHR_WORK_FOLDER": str(work),
            "FEDEHR_NUM_THREADS": str(plan.num_threads),
            "OMP_NUM_THREADS": str(plan.num_threads),
        }
        | {name: value for name, value in inherited.items() if name in _OF_THE_SITES}
    )
