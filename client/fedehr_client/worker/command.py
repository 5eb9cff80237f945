"""How the supervisor starts the worker; it needs no engine and no torch for that."""

import sys
from pathlib import Path


def worker_command(folder: Path, runtime_port: int) -> list[str]:
    """The worker's command line; its environment is `engine/supernode.supernode_environment`.

    Args:
        folder: the node's.
        runtime_port: of the SuperNode's own API.
    """
    return [
        sys.executable, "-m", "fedehr_client.worker", str(folder),
        "--runtime-port", str(runtime_port),
    ]  # fmt: skip
