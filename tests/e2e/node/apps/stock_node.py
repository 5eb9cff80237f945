"""`StockNode`: the engine's own client, as somebody without fedehr's node would start it."""

import subprocess
import time
from typing import Any

from fedehr_client.node.keys import create_key_pair
from fedehr_shared.ports import free_port
from fedehr_shared.processes import ProcessFamily, engine_environment, engine_program

JOIN_SECONDS = 60.0


class StockNode:
    """A SuperNode with its SuperExec: it unpacks and imports what the coordinator sends."""

    def __init__(self, network: Any, name: str, **environ: str) -> None:
        self._network = network
        self._folder = network.folder / f"stock-{name}"
        self._folder.mkdir(mode=0o700)
        self._environ = environ
        self.family = ProcessFamily(self._folder / "process.json")
        self.log = self._folder / "supernode.log"
        self._process: subprocess.Popen[bytes] | None = None
        create_key_pair(self._folder / "key", comment=name)
        network.must(
            "fedehr-server", "site", "add", network.coordinator, name, self._folder / "key.pub"
        )

    def start(self, node_config: str = "") -> None:
        """Join; returns once the coordinator has let it in."""
        command = [
            engine_program("flower-supernode"),
            "--root-certificates", str(self._network.coordinator / "pki" / "ca.crt"),
            "--superlink", f"localhost:{self._network.proxy_port}",
            "--auth-supernode-private-key", str(self._folder / "key"),
            "--host", "127.0.0.1",
            "--port", str(free_port()),
        ]  # fmt: skip
        if node_config:
            command += ["--node-config", node_config]
        environ = engine_environment(FLWR_HOME=str(self._folder / "flwr"), **self._environ)
        self._process = self.family.start(command, environ, self.log, {})
        deadline = time.monotonic() + JOIN_SECONDS
        while "SuperNode ID" not in self.log.read_text():
            assert time.monotonic() < deadline, self.log.read_text()
            assert self.family.is_running(), self.log.read_text()
            time.sleep(0.1)

    def stop(self) -> None:
        """End it and all that it started."""
        self.family.stop()
        if self._process is not None:
            self._process.wait(10)
