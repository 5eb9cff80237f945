"""`StateTeller`: tells how a node stands: its file, the log, the gRPC health service."""

import contextlib
import logging
import os
import time
from datetime import UTC, datetime

from fedehr_client.node.folder import NodeFolder
from fedehr_client.site import SiteConfig
from fedehr_client.supervision.grpc_health import GrpcHealth
from fedehr_client.supervision.health import Health
from fedehr_client.supervision.http_health import HttpHealth
from fedehr_client.supervision.kept_worker import KeptWorker
from fedehr_client.supervision.node_link import LinkState, NodeLink
from fedehr_client.supervision.node_state import NodeState, ProcessState
from fedehr_shared.errors import FedehrError

TELL_SECONDS = 5.0
"""How often the state file is written though nothing changed."""
STOPPED = "stopped"

log = logging.getLogger(__name__)


class StateTeller:
    """Of one run of a supervisor."""

    def __init__(
        self,
        node: NodeFolder,
        config: SiteConfig,
        link: NodeLink,
        worker: KeptWorker,
        health: Health,
    ) -> None:
        """Nothing is told yet."""
        self._node, self._config = node, config
        self._link, self._worker, self._health = link, worker, health
        self._http: HttpHealth | None = None
        self._grpc: GrpcHealth | None = None
        self._state = ""
        self._unready: str | None = None
        self._since = _now()
        self._told = 0.0

    def listen_on(self, http: HttpHealth, grpc: GrpcHealth) -> None:
        """The servers whose ports are told."""
        self._http, self._grpc = http, grpc

    def tell(self) -> None:
        """Tell what changed, and all of it every few seconds."""
        state, reason = self._health.state
        is_new = state != self._state
        if is_new:
            log.info("%s", state)
            self._state, self._since = state, _now()
        unready = self._health.why_unready() or ""
        if unready != self._unready:
            is_new, self._unready = True, unready
            if self._grpc is not None:
                self._grpc.tell(is_ready=not unready)
        if is_new or time.monotonic() - self._told >= TELL_SECONDS:
            self._told = time.monotonic()
            self._write(state, reason, exit_code=None)

    def tell_end(self, error: BaseException | None, num_ended: int) -> None:
        """Tell that the node is stopped, by a person or by `error`."""
        self._since = _now()
        if error is None:
            log.info("stopped: %d process(es) ended, none left", num_ended)
            self._write(STOPPED, "", exit_code=None)
            return
        code = error.exit_code if isinstance(error, FedehrError) else 1
        reason = str(error) if isinstance(error, FedehrError) else type(error).__name__
        log.error("ended: %s", reason)
        self._write(STOPPED, reason, exit_code=code)

    def _write(self, state: str, reason: str, *, exit_code: int | None) -> None:
        is_over = state == STOPPED
        problem = self._link.problem
        told = NodeState(
            site=self._config.site.name,
            coordinator=self._config.network.coordinator,
            pid=os.getpid(),
            state=state,
            reason=reason,
            since=self._since,
            is_joined=not is_over and self._link.state is LinkState.JOINED,
            needs_a_person=problem is not None and problem.needs_a_person,
            unready=STOPPED if is_over else self._unready or "",
            exit_code=exit_code,
            http_port=None if is_over or self._http is None else self._http.port,
            grpc_port=None if is_over or self._grpc is None else self._grpc.port,
            processes=(
                ProcessState("supernode", self._link.pid, self._link.num_restarts),
                ProcessState("worker", self._worker.pid, self._worker.num_restarts),
            ),
        )
        # A full disk must not end a node; the next write says it all again.
        with contextlib.suppress(OSError):
            told.write(self._node.state)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
