"""`Supervisor`: `fedehr-client start`. It keeps the SuperNode and the worker alive.

It loads neither torch nor the engine, so that nothing that goes wrong there ends it.
"""

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib.metadata import version

from fedehr_client.audit import events
from fedehr_client.audit.log import Audit
from fedehr_client.engine.supernode import renew_secret
from fedehr_client.engine.version import require_version
from fedehr_client.node.folder import NodeFolder
from fedehr_client.node.keys import private_key_fingerprint
from fedehr_client.site import SiteConfig
from fedehr_client.supervision.grpc_health import GrpcHealth
from fedehr_client.supervision.guard import start_guard
from fedehr_client.supervision.health import Health
from fedehr_client.supervision.http_health import HttpHealth
from fedehr_client.supervision.kept_worker import KeptWorker
from fedehr_client.supervision.log_files import LogFile, log_file
from fedehr_client.supervision.node_link import LinkState, NodeLink
from fedehr_client.supervision.node_state import NodeState, ProcessState
from fedehr_client.supervision.problem import Kind
from fedehr_client.supervision.run_lock import RunLock
from fedehr_shared.errors import DataError, FedehrError, NetworkError, UsageError
from fedehr_shared.processes import engine_program

STEP_SECONDS = 0.1
TELL_SECONDS = 5.0
"""How often the state file is written though nothing changed."""
ROTATE_SECONDS = 10.0
AGAIN_SECONDS = 5.0
"""Before what a full disk or a process that does not end has stopped is tried again."""

log = logging.getLogger(__name__)


class Supervisor:
    """One run of a node, from start to stop."""

    def __init__(
        self, node: NodeFolder, *, is_detached: bool, on_joined: Callable[[], None] | None = None
    ) -> None:
        """Nothing is started yet.

        Args:
            node: the node's folder.
            is_detached: nobody looks on: an unknown key is tried again until it is known.
            on_joined: called once, when the coordinator has let the node in.

        Raises:
            ConfigError: the site file or the key is wrong.
            DataError: the records' folder is missing.
        """
        self._node = node
        self._config = require_startable(node)
        self._is_detached = is_detached
        self._on_joined = on_joined
        self._has_joined = False
        self._audit = Audit(node.audit_file)
        self._link = NodeLink(node, self._config.network)
        self._worker = KeptWorker(node)
        self._ending = threading.Event()
        self._num_ended = 0
        self._state = ""
        self._unready: str | None = None
        self._since = _now()
        self._told = 0.0
        self._rotated = time.monotonic()
        self._not_before = 0.0

    def end(self) -> None:
        """Ask it to end; it may be called from a signal handler."""
        self._ending.set()

    def run(self) -> int:
        """Run until asked to end.

        Returns:
            How many processes it ended.

        Raises:
            UsageError: the node runs already.
            NetworkError: a site that never joined cannot join, or a monitoring port is taken.
        """
        lock = RunLock(self._node.state)
        if not lock.acquire():
            raise already_running(self._node)
        with lock:
            self._clear_leftovers()
            self._health = Health(self._node, self._link, self._worker)
            try:
                self._run()
            except BaseException as error:
                self._stop_processes()
                self._tell_end(error)
                raise
            self._stop_processes()
            self._tell_end(None)
        return self._num_ended

    def _run(self) -> None:
        monitoring = self._config.monitoring
        with contextlib.ExitStack() as stack:
            stack.callback(self._health.stop)
            self._guard = start_guard(self._node.state)
            self._http = HttpHealth(
                monitoring.http_port, self._health.why_unready, self._health.metrics
            )
            stack.callback(self._http.stop)
            self._grpc = GrpcHealth(monitoring.grpc_port)
            stack.callback(self._grpc.stop)
            renew_secret(self._node)
            events.started(self._audit, flwr_version=version("flwr"))
            log.info("started, process %d", os.getpid())
            while not self._ending.wait(STEP_SECONDS):
                self._step()
            log.info("stopping")

    def _step(self) -> None:
        if time.monotonic() >= self._not_before:
            try:
                self._advance()
            except (OSError, DataError, NetworkError) as error:
                log.error("%s; trying again", error)  # noqa: TRY400 - the reason is enough
                self._not_before = time.monotonic() + AGAIN_SECONDS
        # First: whoever reads "waiting" must be able to rely on a node that stays.
        self._require_joinable()
        self._tell()
        if time.monotonic() - self._rotated >= ROTATE_SECONDS:
            self._rotated = time.monotonic()
            self._rotate()

    def _advance(self) -> None:
        if self._guard.poll() is not None:
            log.warning("the guard ended by itself; starting another")
            self._guard = start_guard(self._node.state)
        self._link.advance()
        if self._link.state is LinkState.JOINED and not self._has_joined:
            self._has_joined = True
            events.joined(self._audit, coordinator=self._config.network.coordinator)
            if self._on_joined is not None:
                self._on_joined()
        is_known = self._link.node_id is not None
        if is_known and self._worker.advance(self._link.runtime_port):
            self._link.restart("the worker ended, perhaps with a task in its hands")

    def _require_joinable(self) -> None:
        """A site that never joined learns at once why it cannot."""
        problem = self._link.problem
        if problem is None or self._link.before.is_so():
            return
        if not (self._is_detached and problem.kind is Kind.UNKNOWN_KEY):
            raise NetworkError(problem.message)

    def _tell(self) -> None:
        state, reason = self._health.state
        is_new = state != self._state
        if is_new:
            log.info("%s", state)
            self._state, self._since = state, _now()
        unready = self._health.why_unready() or ""
        if unready != self._unready:
            is_new, self._unready = True, unready
            self._grpc.tell(is_ready=not unready)
        if is_new or time.monotonic() - self._told >= TELL_SECONDS:
            self._told = time.monotonic()
            self._write(state, reason, exit_code=None)

    def _tell_end(self, error: BaseException | None) -> None:
        self._since = _now()
        if error is None:
            log.info("stopped: %d process(es) ended, none left", self._num_ended)
            self._write("stopped", "", exit_code=None)
            return
        code = error.exit_code if isinstance(error, FedehrError) else 1
        reason = str(error) if isinstance(error, FedehrError) else type(error).__name__
        log.error("ended: %s", reason)
        self._write("stopped", reason, exit_code=code)

    def _write(self, state: str, reason: str, *, exit_code: int | None) -> None:
        is_over = state == "stopped"
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
            unready="stopped" if is_over else self._unready or "",
            exit_code=exit_code,
            http_port=None if is_over else self._http.port,
            grpc_port=None if is_over else self._grpc.port,
            processes=(
                ProcessState("supernode", self._link.pid, self._link.num_restarts),
                ProcessState("worker", self._worker.pid, self._worker.num_restarts),
            ),
        )
        # A full disk must not end a node; the next write says it all again.
        with contextlib.suppress(OSError):
            told.write(self._node.state)

    def _rotate(self) -> None:
        for process in ("supernode", "worker", "child"):
            try:
                LogFile(log_file(self._node, process)).rotate()
            except OSError as error:
                log.warning("cannot rotate the log of %s: %s", process, error.strerror)

    def _clear_leftovers(self) -> None:
        num = self._stop_both()
        if num:
            log.warning("ended %d process(es) of a supervisor that was killed", num)

    def _stop_processes(self) -> None:
        self._num_ended += self._stop_both()
        try:
            events.stopped(self._audit)
        except DataError as error:
            # It must end all the same.
            log.error("%s", error)  # noqa: TRY400 - the sentence is enough

    def _stop_both(self) -> int:
        """At once, so that the two waits are one."""
        stops: Sequence[Callable[[], int]] = (self._worker.stop, self._link.stop)
        with ThreadPoolExecutor(len(stops)) as pool:
            return sum(done.result() for done in [pool.submit(stop) for stop in stops])


def require_startable(node: NodeFolder) -> SiteConfig:
    """The site file of a node that can be started.

    Raises:
        ConfigError: the site file or the key is wrong, or the engine is of another version.
        DataError: the records' folder is missing.
        NetworkError: the engine is not installed.
    """
    config = node.config()
    if not config.site.records.is_dir():
        raise DataError(
            f"there is no records folder {config.site.records}. "
            f"Mend [site] records in {node.site_file}."
        )
    private_key_fingerprint(config.network.private_key)
    engine_program("flower-supernode")
    require_version()
    return config


def already_running(node: NodeFolder) -> UsageError:
    """That there can be only one."""
    return UsageError(
        f"the node in {node.path} runs already. Stop it first with "
        f"`fedehr-client stop {node.path}`."
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
