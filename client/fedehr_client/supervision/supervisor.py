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
from fedehr_client.supervision.left_marker import LeftMarker
from fedehr_client.supervision.log_files import LogFile, log_file
from fedehr_client.supervision.node_link import LinkState, NodeLink
from fedehr_client.supervision.node_state import forget_state
from fedehr_client.supervision.problem import Kind
from fedehr_client.supervision.run_lock import RunLock
from fedehr_client.supervision.running_node import already_running
from fedehr_client.supervision.state_teller import StateTeller
from fedehr_shared.errors import DataError, NetworkError
from fedehr_shared.processes import engine_program

STEP_SECONDS = 0.2
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
            forget_state(self._node.state)
            LeftMarker(self._node.state).clear()
            self._clear_leftovers()
            health = Health(self._node, self._link, self._worker)
            teller = StateTeller(self._node, self._config, self._link, self._worker, health)
            try:
                self._run(health, teller)
            except BaseException as error:
                self._stop_processes()
                teller.tell_end(error, self._num_ended)
                raise
            self._stop_processes()
            teller.tell_end(None, self._num_ended)
        return self._num_ended

    def _run(self, health: Health, teller: StateTeller) -> None:
        monitoring = self._config.monitoring
        with contextlib.ExitStack() as stack:
            stack.callback(health.stop)
            self._guard = start_guard(self._node.state)
            http = HttpHealth(monitoring.http_port, health.why_unready, health.metrics)
            stack.callback(http.stop)
            grpc = GrpcHealth(monitoring.grpc_port)
            stack.callback(grpc.stop)
            teller.listen_on(http, grpc)
            renew_secret(self._node)
            events.started(self._audit, flwr_version=version("flwr"))
            log.info("started, process %d", os.getpid())
            while not self._ending.wait(STEP_SECONDS):
                self._step(teller)
            log.info("stopping")

    def _step(self, teller: StateTeller) -> None:
        if time.monotonic() >= self._not_before:
            try:
                self._advance()
            except (OSError, DataError, NetworkError) as error:
                log.error("%s; trying again", error)  # noqa: TRY400 - the reason is enough
                self._not_before = time.monotonic() + AGAIN_SECONDS
        # First: whoever reads "waiting" must be able to rely on a node that stays.
        self._require_joinable()
        teller.tell()
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
            f"there is no records folder {config.site.records}. Make it: fedehr-client import omop "
            f"SOURCE --out {config.site.records} (or csv, mimic4, eicu, meds); or mend [site] "
            f"records in {node.site_file}."
        )
    private_key_fingerprint(config.network.private_key)
    engine_program("flower-supernode")
    require_version()
    return config
