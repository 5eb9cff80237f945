"""Our own SuperLink in simulation mode, and the submission of one run to it."""

import json
import os
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

import psutil

from fedehr_simulations.engine.listeners import listens_on
from fedehr_simulations.engine.plan import EnginePlan
from fedehr_simulations.engine.process_tree import die_with_parent

_NUM_PORT_ATTEMPTS = 5
_START_SECONDS = 60.0
_SUBMIT_SECONDS = 60.0
_LAST_OUTPUT_SECONDS = 5.0
_POLL_SECONDS = 0.05
_TAKEN = b"Successfully started run"


class EngineFailure(Exception):
    """The engine did not do its part; the message says which, the log says why."""


class SuperLink:
    """The engine's processes, started with one environment and one log.

    Args:
        environment: as `engine_environment` makes it.
        folder: the private folder; the working folder of all processes.
        log: receives everything that they print; opened for reading and appending.
        check: called while waiting; raises to give up.
    """

    def __init__(
        self,
        environment: dict[str, str],
        folder: Path,
        log: IO[bytes],
        check: Callable[[], None],
    ) -> None:
        self._environment = environment
        self._folder = folder
        self._log = log
        self._check = check
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._stream: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The SuperLink's process.

        Raises:
            EngineFailure: it was not started.
        """
        if self._process is None:
            raise EngineFailure("the SuperLink was not started")
        return self._process

    def start(self) -> None:
        """Start on a free loopback port and return when the SuperLink listens there.

        Raises:
            EngineFailure: it ended, or did not listen within a minute.
        """
        deadline = time.monotonic() + _START_SECONDS
        for _ in range(_NUM_PORT_ATTEMPTS):
            # Another program may take the port between this look and the SuperLink's bind.
            self._port = free_port()
            self._process = self._spawn(
                "flower-superlink", "--insecure", "--simulation",
                "--disable-runtime-dependency-installation",
                "--host", "127.0.0.1", "--port", str(self._port),
            )  # fmt: skip
            if self._listens(deadline):
                return
        raise EngineFailure(f"the SuperLink ended at each of {_NUM_PORT_ATTEMPTS} starts")

    def submit(self, plan: EnginePlan, bundle: Path) -> None:
        """Hand the bundle in with `flwr run`, which then brings the run's output to the log.

        The engine gives a run's own output to nobody else.

        Raises:
            EngineFailure: the SuperLink did not take it.
        """
        self._write_connection()
        start = self._log.seek(0, os.SEEK_END)
        self._stream = self._spawn(
            "flwr", "run", str(bundle), "sim", "--stream",
            "--federation-config", federation_config(plan),
            "--run-config", run_config(plan.run_config),
        )  # fmt: skip
        deadline = time.monotonic() + _SUBMIT_SECONDS
        while not self._has_logged(_TAKEN, start):
            if self._stream.poll() is not None:
                raise EngineFailure(f"`flwr run` ended with {self._stream.returncode}")
            if time.monotonic() > deadline:
                raise EngineFailure(f"`flwr run` was not answered in {_SUBMIT_SECONDS:.0f} s")
            self._pause()

    def finish_log(self) -> None:
        """Wait a little for the last output of a run that has ended."""
        deadline = time.monotonic() + _LAST_OUTPUT_SECONDS
        while self._stream and self._stream.poll() is None and time.monotonic() < deadline:
            self._pause()

    def _write_connection(self) -> None:
        home = Path(self._environment["FLWR_HOME"])
        home.mkdir(exist_ok=True)
        (home / "config.toml").write_text(
            '[superlink]\ndefault = "sim"\n\n[superlink.sim]\n'
            f'address = "127.0.0.1:{self._port}"\ninsecure = true\n',
            encoding="utf-8",
        )

    def _has_logged(self, text: bytes, start: int) -> bool:
        self._log.seek(start)
        return text in self._log.read()

    def _spawn(self, *command: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            env=self._environment,
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - the keeper has one thread
        )

    def _listens(self, deadline: float) -> bool:
        process = psutil.Process(self.process.pid)
        while self.process.poll() is None:
            if listens_on(process, self._port):
                return True
            if time.monotonic() > deadline:
                raise EngineFailure(f"the SuperLink did not listen in {_START_SECONDS:.0f} s")
            self._pause()
        return False

    def _pause(self) -> None:
        self._check()
        time.sleep(_POLL_SECONDS)


def free_port() -> int:
    """A TCP port that nothing on 127.0.0.1 holds at this moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def federation_config(plan: EnginePlan) -> str:
    """`--federation-config`: one virtual node a site, one actor a Ray CPU."""
    return (
        f"num-supernodes={plan.num_sites} client-resources-num-cpus=1 "
        f"init-args-num-cpus={plan.num_actors}"
    )


def run_config(values: dict[str, str | int]) -> str:
    """`--run-config`: TOML scalars, strings quoted."""
    return " ".join(f"{key}={json.dumps(value)}" for key, value in values.items())
