"""`NodeState`: how a node stands, in a file that `status` and monitoring read.

It is written by the supervisor alone. Whether there is a supervisor is not for the file to
say but for the lock (`run_lock.py`).
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fedehr_client.supervision.json_file import JsonFile

STATE_FILE = "node.json"


@dataclass(frozen=True)
class ProcessState:
    """One process that the supervisor keeps alive.

    Attributes:
        name: `supernode` or `worker`.
        pid: None while there is none.
        num_restarts: since the supervisor began.
    """

    name: str
    pid: int | None
    num_restarts: int


@dataclass(frozen=True)
class NodeState:
    """The whole.

    Attributes:
        site: its name.
        coordinator: `host:port`.
        pid: of the supervisor.
        state: joining, joined, waiting, paused, outside hours, gpu taken or stopped.
        reason: for a person; empty where the state says it all.
        since: when the state began; UTC, RFC 3339.
        is_joined: whether the coordinator has let this node in, whatever else its state says.
        needs_a_person: whether it waits for something that time alone does not mend.
        unready: why no round would be answered now; empty where one would be.
        exit_code: of a supervisor that gave up; None otherwise.
        http_port: of `/healthz`, `/readyz` and `/metrics`.
        grpc_port: of the gRPC health service.
        processes: that it keeps alive.
    """

    site: str
    coordinator: str
    pid: int
    state: str
    reason: str
    since: str
    is_joined: bool
    needs_a_person: bool
    unready: str
    exit_code: int | None
    http_port: int | None
    grpc_port: int | None
    processes: tuple[ProcessState, ...]

    def write(self, state: Path) -> None:
        """Replace the file in the node's state folder.

        Raises:
            OSError: it cannot be written.
        """
        JsonFile(state / STATE_FILE).write(asdict(self))


def read_state(state: Path) -> dict[str, Any]:
    """The file's content; empty where no supervisor ever ran."""
    return JsonFile(state / STATE_FILE).read()


def forget_state(state: Path) -> None:
    """Remove the file of an earlier supervisor, whose process number may come again."""
    (state / STATE_FILE).unlink(missing_ok=True)
