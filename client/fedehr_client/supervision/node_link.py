"""`NodeLink`: the SuperNode process and its way into the federation, kept up for ever.

One step a call, and none of them waits for the network: the supervisor must answer a signal at
any moment.
"""

import logging
import subprocess
import threading
import time
from concurrent.futures import Future
from enum import StrEnum

from fedehr_client.engine import supernode as engine
from fedehr_client.node.connection import check_coordinator
from fedehr_client.node.folder import NodeFolder
from fedehr_client.site import ConnectionConfig
from fedehr_client.supervision import problem as problems
from fedehr_client.supervision.backoff import Backoff
from fedehr_client.supervision.joined_before import JoinedBefore
from fedehr_client.supervision.log_tail import LogTail
from fedehr_client.supervision.problem import Kind, Problem
from fedehr_shared.errors import ConfigError, NetworkError
from fedehr_shared.ports import free_port
from fedehr_shared.processes import ProcessFamily

JOIN_SECONDS = 60.0
"""How long one attempt to join may take."""
LAPSE_RETRY_SECONDS = 5.0
PERSON_RETRY_SECONDS = 60.0
"""Between attempts while a person has to do something."""
SILENCE_SECONDS = 5.0
"""After which an attempt that has told nothing yet says that it goes on."""
STOP_SECONDS = 8.0
"""Of grace for the SuperNode, which takes its leave from the coordinator."""

log = logging.getLogger(__name__)


class LinkState(StrEnum):
    """How the node stands to its coordinator."""

    JOINING = "joining"
    JOINED = "joined"
    WAITING = "waiting"


class _Step(StrEnum):
    RESTING = "resting"
    PROBING = "probing"
    TRYING = "trying"
    RUNNING = "running"


class NodeLink:
    """Probe the coordinator, start the SuperNode, watch it, and begin again.

    Attributes:
        state: joined, or on the way.
        problem: why not, if not.
        node_id: the engine's number of this node, once joined.
        num_restarts: starts of the SuperNode after the first that joined.
        runtime_port: of the SuperNode's own API, for the worker.
    """

    def __init__(self, node: NodeFolder, network: ConnectionConfig) -> None:
        """Nothing is started yet.

        Raises:
            ConfigError: the key cannot be read.
        """
        self._node, self._network = node, network
        self.family = ProcessFamily(node.state / "supernode.json")
        self.before = JoinedBefore(node.state, network)
        self.state = LinkState.JOINING
        self.problem: Problem | None = None
        self.node_id: str | None = None
        self.num_restarts = 0
        self.runtime_port = free_port()
        self._probe: Future[None] | None = None
        self._backoff = Backoff()
        self._process: subprocess.Popen[bytes] | None = None
        self._tail = LogTail(node.log_file)
        self._output = ""
        self._step = _Step.RESTING
        self._until = 0.0
        self._refused_since: float | None = None
        self._tell_silence_at = time.monotonic() + SILENCE_SECONDS

    @property
    def pid(self) -> int | None:
        """The SuperNode's process, while it lives."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def advance(self) -> None:
        """One step, if its time has come."""
        self._tell_silence()
        {
            _Step.RESTING: self._rest,
            _Step.PROBING: self._await_probe,
            _Step.TRYING: self._await_join,
            _Step.RUNNING: self._watch,
        }[self._step]()

    def _tell_silence(self) -> None:
        """Once, of a first attempt that nothing has come of yet."""
        if self._step not in {_Step.PROBING, _Step.TRYING} or self.problem is not None:
            return
        if time.monotonic() >= self._tell_silence_at:
            self._tell_silence_at = float("inf")
            log.info("%s has not answered yet; trying on", self._network.coordinator)

    def restart(self, reason: str) -> None:
        """End the SuperNode and start it anew at once."""
        log.warning("restarting the SuperNode: %s", reason)
        self._end_process()
        self.state = LinkState.JOINING
        self._begin_rest(0.0)

    def stop(self) -> int:
        """End the SuperNode with all its processes; returns how many there were."""
        return self.family.stop(STOP_SECONDS)

    def _rest(self) -> None:
        if time.monotonic() < self._until:
            return
        self._backoff.started()
        network = self._network
        self._probe = Future()
        threading.Thread(target=_look_for, args=(network, self._probe), daemon=True).start()
        self._step = _Step.PROBING

    def _await_probe(self) -> None:
        assert self._probe is not None
        if not self._probe.done():
            return
        error = self._probe.exception()
        if error is None:
            self._try_to_join()
        elif isinstance(error, NetworkError | ConfigError):
            self._wait_for(problems.unreachable(str(error)), self._backoff.failed())
        else:
            raise error

    def _try_to_join(self) -> None:
        self.family.stop(STOP_SECONDS)
        self._tail, self._output = LogTail(self._node.log_file), ""
        command = engine.supernode_command(self._network, self.runtime_port, self._node.secret_file)
        self._process = self.family.start(
            command,
            engine.supernode_environment(self._node),
            self._node.log_file,
            {"coordinator": self._network.coordinator},
        )
        self._until = time.monotonic() + JOIN_SECONDS
        self._step = _Step.TRYING

    def _await_join(self) -> None:
        self._output += self._tail.read()
        outcome = engine.outcome_of(self._output)
        if outcome.is_joined and self.pid is not None:
            self._join(outcome.node_id)
        elif self.pid is None or self._is_late():
            self._end_process()
            self._explain(outcome)

    def _is_late(self) -> bool:
        """Of a site that has joined before the engine's own retries are let go on."""
        if time.monotonic() < self._until:
            return False
        if not engine.is_connected(self._output, before=True) and self.before.is_so():
            self._tell(problems.no_answer(self._network))
            return False
        return True

    def _join(self, node_id: str | None) -> None:
        if self.node_id is not None:
            self.num_restarts += 1
        self.before.note()
        self.node_id, self.problem, self._refused_since = node_id, None, None
        self.state = LinkState.JOINED
        self._output = ""
        self._backoff.started()
        self._step = _Step.RUNNING
        log.info("joined %s", self._network.coordinator)

    def _explain(self, outcome: engine.Outcome) -> None:
        if engine.is_port_taken(self._output):
            log.warning("port %d of the SuperNode is taken; trying another", self.runtime_port)
            self.runtime_port = free_port()
            self._begin_rest(0.0)
        elif outcome.is_refused:
            self._explain_refusal()
        elif outcome.is_signature_refused:
            self._wait_for(problems.wrong_clock(self._network), PERSON_RETRY_SECONDS)
        else:
            self._wait_for(problems.ended(self._node, self._network), self._backoff.failed())

    def _explain_refusal(self) -> None:
        if not self.before.is_so():
            self._wait_for(problems.unknown_key(self._network), PERSON_RETRY_SECONDS)
            return
        now = time.monotonic()
        self._refused_since = self._refused_since or now
        if now - self._refused_since < engine.LAPSE_SECONDS:
            self._wait_for(problems.lapsing(), LAPSE_RETRY_SECONDS)
        else:
            self._wait_for(problems.removed_key(self._network), PERSON_RETRY_SECONDS)

    def _watch(self) -> None:
        text = self._tail.read()
        if self.pid is None:
            log.warning("the SuperNode ended by itself")
            self._end_process()
            self.state = LinkState.JOINING
            self._begin_rest(self._backoff.failed())
        elif engine.is_broken(text):
            self.restart("an error ended a part of it")
        else:
            self._watch_connection(engine.is_connected(text, before=self.problem is None))

    def _watch_connection(self, is_connected: bool) -> None:
        if not is_connected:
            self._tell(problems.no_answer(self._network))
        elif self.problem is not None:
            self.problem, self.state = None, LinkState.JOINED
            log.info("%s answers again", self._network.coordinator)

    def _end_process(self) -> None:
        self.family.stop(STOP_SECONDS)
        if self._process is not None:
            self._process.poll()
        self._process = None

    def _wait_for(self, problem: Problem, seconds: float) -> None:
        self._tell(problem)
        self._begin_rest(seconds)

    def _tell(self, problem: Problem) -> None:
        if problem != self.problem:
            goes_on = " The node keeps trying." if self.before.is_so() else ""
            log.warning("%s%s", problem.message, goes_on)
        self.problem = problem
        self.state = LinkState.JOINING if problem.kind is Kind.LAPSING else LinkState.WAITING

    def _begin_rest(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds
        self._step = _Step.RESTING


def _look_for(network: ConnectionConfig, probe: "Future[None]") -> None:
    """In a thread that nobody waits for: it may hang in a name server for a long time."""
    try:
        check_coordinator(network.coordinator, network.root_certificates)
    except Exception as error:  # handed to whoever asks the future
        probe.set_exception(error)
    else:
        probe.set_result(None)
