"""The keeper: owns every process, port and temporary folder of one simulation.

The driver starts it with the plan on standard input and keeps that pipe open. The keeper
tells one JSON object a line on standard output and stops everything when the result is
there, when the engine has ended without one, on SIGTERM, or when the pipe closes: then the
driver is gone, even by kill -9.
"""

import json
import os
import select
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType
from typing import Any

import psutil

from fedehr_server.bundle import copy_bundle
from fedehr_simulations.engine.environment import engine_environment
from fedehr_simulations.engine.listeners import exposed_addresses
from fedehr_simulations.engine.plan import RUN_COMMAND_PART, EnginePlan
from fedehr_simulations.engine.private_network import enter_private_network
from fedehr_simulations.engine.process_tree import ProcessTree, adopt_orphans
from fedehr_simulations.engine.superlink import EngineFailure, SuperLink
from fedehr_simulations.outcome.sites_parts import keep_local_parts

_POLL_SECONDS = 0.1
_LOOK_SECONDS = 1.0
_TASK_START_SECONDS = 120.0
# The result is written last and checkpoints are atomic: nothing is lost by a short grace, or
# by none once the result is there (Ray would take five seconds to say goodbye).
_GRACE_SECONDS = 2.0
# Ray's sockets lie below it, and a socket's path may have 107 bytes.
_SHORT_FOLDER = "/tmp"


class Stopped(Exception):
    """The driver is gone or asked for the end."""


class Keeper:
    """One simulation from its first process to its last."""

    def __init__(self, plan: EnginePlan) -> None:
        self._plan = plan
        self._started = time.monotonic()
        self._tree = ProcessTree(os.getpid())
        self._is_private = plan.private_network and enter_private_network()

    def run(self) -> None:
        """Run the simulation; on return no process and no temporary folder is left."""
        private = Path(tempfile.mkdtemp(prefix="fedehr-", dir=_SHORT_FOLDER))
        work = Path(tempfile.mkdtemp(prefix="fedehr-work-"))
        self._tell("opened", folders=[str(private), str(work)], private_network=self._is_private)
        ended: dict[str, Any] = {"reason": "failed", "detail": "the keeper was interrupted"}
        try:
            self._drive(private, work)
            self._keep_parts(work)
            ended = {"reason": "result"}
        except Stopped:
            ended = {"reason": "stopped"}
        except EngineFailure as failure:
            ended = {"reason": "failed", "detail": str(failure)}
        except PermissionError as refusal:
            ended = {"reason": "exposed", "detail": str(refusal)}
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            self._tell("stopping")
            self._tree.stop(0.0 if ended["reason"] == "result" else _GRACE_SECONDS)
            for folder in (private, work):
                shutil.rmtree(folder)
            self._tell("ended", **ended)

    def _drive(self, private: Path, work: Path) -> None:
        environment = engine_environment(self._plan, private=private, work=work)
        bundle = copy_bundle(private / "bundle", Path(self._plan.bundle_file))
        with open(self._plan.log_file, "a+b") as log:
            superlink = SuperLink(environment, private, log, self._check_driver)
            superlink.start()
            self._tell("superlink")
            superlink.submit(self._plan, bundle)
            self._tell("submitted")
            try:
                self._await_result(superlink)
            except EngineFailure:
                superlink.finish_log()
                raise

    def _keep_parts(self, work: Path) -> None:
        """What sites trained for themselves: it is written before the result."""
        run_folder = Path(self._plan.result_file).parent
        try:
            keep_local_parts(work.iterdir(), run_folder, str(self._plan.run_config["study"]))
        except OSError as error:
            raise EngineFailure(f"the sites' own parts cannot be kept: {error}") from error

    def _await_result(self, superlink: SuperLink) -> None:
        task: psutil.Process | None = None
        looked = 0.0
        while not Path(self._plan.result_file).exists():
            self._check_driver()
            if superlink.process.poll() is not None:
                raise EngineFailure(f"the SuperLink ended with {superlink.process.returncode}")
            if task is None or time.monotonic() - looked > _LOOK_SECONDS:
                looked = time.monotonic()
                task = self._look(task)
            time.sleep(_POLL_SECONDS)

    def _look(self, task: psutil.Process | None) -> psutil.Process | None:
        processes = self._tree.refresh()
        exposed = [] if self._is_private else exposed_addresses(processes)
        if exposed:
            raise PermissionError(", ".join(exposed))
        if task is None:
            task = next(filter(_is_task, processes), None)
            if task is not None:
                self._tell("running")
            elif time.monotonic() - self._started > _TASK_START_SECONDS:
                raise EngineFailure(f"no run began in {_TASK_START_SECONDS:.0f} s")
        # Asking the engine for the run's status costs seconds of CPU; its task process ends
        # with the run, and writes the result before that.
        elif task not in processes and not Path(self._plan.result_file).exists():
            raise EngineFailure("the run's process ended")
        return task

    def _check_driver(self) -> None:
        readable, _, _ = select.select([0], [], [], 0)
        if readable and not os.read(0, 4096):
            raise Stopped

    def _tell(self, state: str, **values: Any) -> None:
        event = {
            "event": "engine",
            "state": state,
            "time_seconds": round(time.monotonic() - self._started, 3),
        }
        try:
            os.write(1, json.dumps(event | values).encode() + b"\n")
        except BrokenPipeError:
            return  # the driver is gone, which `_check_driver` sees


def _is_task(process: psutil.Process) -> bool:
    try:
        return any(Path(part).name == RUN_COMMAND_PART for part in process.cmdline()[:2])
    except psutil.NoSuchProcess:
        return False


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise Stopped


def main() -> None:
    """Read the plan, run it, and end when nothing of it is left."""
    os.umask(0o077)
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    adopt_orphans()
    Keeper(EnginePlan.from_json(sys.stdin.readline())).run()


if __name__ == "__main__":
    main()
