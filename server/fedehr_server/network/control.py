"""The engine's control routes, through its own command line `flwr`.

`flwr` may exit 0 although the SuperLink refused (an HTTP 403 for one), so only the JSON
that it prints is believed.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

from fedehr_server.network.coordinator import CONNECTION, CoordinatorFolder
from fedehr_server.network.superlink import SuperLink
from fedehr_shared.errors import NetworkError
from fedehr_shared.processes import engine_environment, engine_program

CONTROL_SECONDS = 120.0


class Control:
    """Commands to the SuperLink of one coordinator folder."""

    def __init__(self, folder: CoordinatorFolder) -> None:
        self._folder = folder

    def register(self, public_key: Path, name: str) -> str:
        """Register a site's public key; returns the node's id.

        Raises:
            NetworkError: the SuperLink is down or refused the key.
        """
        answer = self._call("supernode", "register", str(public_key), CONNECTION, "--name", name)
        return str(answer["node-id"])

    def unregister(self, node_id: str) -> None:
        """Remove a node; it can no longer connect.

        Raises:
            NetworkError: the SuperLink is down or refused.
        """
        self._call("supernode", "unregister", node_id, CONNECTION)

    def node_states(self) -> dict[str, str]:
        """`registered`, `online`, `offline` or `unregistered` by node id.

        Raises:
            NetworkError: the SuperLink is down or refused.
        """
        answer = self._call("supernode", "list", CONNECTION)
        return {str(node["node-id"]): str(node["status"]) for node in answer["nodes"]}

    def start_run(self, bundle: Path, run_config: dict[str, str | int]) -> str:
        """Start the app of the folder `bundle`; returns the engine's run id.

        Raises:
            NetworkError: the SuperLink is down or refused.
        """
        settings = " ".join(f"{key}={json.dumps(value)}" for key, value in run_config.items())
        answer = self._call("run", str(bundle), CONNECTION, "--run-config", settings)
        return str(answer["run-id"])

    def run_state(self, run_id: str) -> str:
        """`pending`, `starting`, `running` or `finished:<how>`.

        Raises:
            NetworkError: the SuperLink is down or does not know the run.
        """
        answer = self._call("ls", CONNECTION, "--run-id", run_id)
        return str(answer["runs"][0]["status"])

    def run_states(self) -> dict[str, str]:
        """`run_state` of every run, by the engine's run id.

        Raises:
            NetworkError: the SuperLink is down or refused.
        """
        answer = self._call("ls", CONNECTION)
        return {str(run["run-id"]): str(run["status"]) for run in answer["runs"]}

    def stop_run(self, run_id: str) -> None:
        """Stop a run.

        Raises:
            NetworkError: the SuperLink is down or refused.
        """
        self._call("stop", run_id, CONNECTION)

    def run_output(self, run_id: str) -> str:
        """What the run's ServerApp has printed.

        The engine keeps it in its database; its own log shows nothing of it.

        Raises:
            NetworkError: the SuperLink is down or did not answer.
        """
        return self._run("log", run_id, CONNECTION, "--show").stdout

    def _call(self, *words: str) -> dict[str, Any]:
        return _read_answer(self._run(*words, "--format", "json"), " ".join(words[:2]))

    def _run(self, *words: str) -> subprocess.CompletedProcess[str]:
        SuperLink(self._folder).require_serving()
        command = [engine_program("flwr"), *words]
        try:
            return subprocess.run(
                command,
                env=engine_environment(FLWR_HOME=str(self._folder.engine_home)),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=CONTROL_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise NetworkError(
                f"the engine did not answer `{words[0]}` within {CONTROL_SECONDS:.0f} seconds. "
                f"Read the end of {self._folder.superlink_log}."
            ) from error


def _read_answer(done: subprocess.CompletedProcess[str], what: str) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        answer = {}
    if answer.get("success") is True:
        return answer
    reason = answer.get("error-message") or done.stderr or done.stdout
    text = " ".join(str(reason).split()) or f"exit status {done.returncode}"
    raise NetworkError(f"the engine refused `flwr {what}`: {text}")
