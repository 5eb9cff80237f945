"""The SuperLink process: started with TLS and node authentication, watched, stopped."""

import subprocess
import time
from collections.abc import Callable

from fedehr_server.network.coordinator import (
    COORDINATOR_FOLDER,
    CoordinatorFolder,
    write_connection,
)
from fedehr_shared.errors import NetworkError, UsageError
from fedehr_shared.ports import LOOPBACK, free_port, require_free_port
from fedehr_shared.processes import ProcessFamily, engine_environment, engine_program

START_SECONDS = 60.0
"""A cold start takes three seconds on an idle machine."""
HEALTH_SECONDS = 2.0


class SuperLink:
    """The one SuperLink of a coordinator folder."""

    def __init__(self, folder: CoordinatorFolder) -> None:
        self._folder = folder
        self.family = ProcessFamily(folder.state / "superlink.json")

    def start(self) -> subprocess.Popen[bytes]:
        """Start it, and return once it serves.

        Raises:
            UsageError: it runs already.
            NetworkError: its port is taken, or it ended or did not serve in time.
        """
        network = self._folder.config().network
        if self.family.is_running():
            raise UsageError(
                f"the coordinator in {self._folder.path} runs already. Stop it first with "
                f"`fedehr-server stop {self._folder.path}`."
            )
        # What a killed SuperLink left behind would still drive its runs.
        self.family.stop()
        require_free_port(
            network.port,
            f"End what listens there, or set [network] port in {self._folder.config_file} and "
            "the upstream port in nginx.conf.",
        )
        write_connection(self._folder, network)
        health_port = free_port()
        process = self.family.start(
            superlink_command(self._folder, network.port, health_port),
            superlink_environment(self._folder),
            self._folder.superlink_log,
            {"health_port": health_port, "port": network.port},
        )
        self._wait_until_serving(process)
        return process

    def is_serving(self) -> bool:
        """Whether its gRPC health service answers SERVING."""
        port = self.family.facts().get("health_port")
        return port is not None and self.family.is_running() and _is_healthy(port)

    def require_serving(self) -> None:
        """Check that it serves.

        Raises:
            NetworkError: it does not.
        """
        if not self.is_serving():
            raise NetworkError(
                f"the coordinator in {self._folder.path} is not running. Start it with "
                f"`fedehr-server start {self._folder.path} --detach`."
            )

    def stop(self) -> int:
        """End it with every process it started; returns how many there were."""
        return self.family.stop()

    def _wait_until_serving(self, process: subprocess.Popen[bytes]) -> None:
        port = self._folder.config().network.port
        try:
            wait_until(
                lambda: process.poll() is not None or (self.is_serving() and _accepts(port)),
                START_SECONDS,
            )
        except BaseException:
            self.stop()
            raise
        if process.poll() is not None or not self.is_serving():
            self.stop()
            raise NetworkError(
                f"the SuperLink did not start within {START_SECONDS:.0f} seconds. "
                f"Read the end of {self._folder.superlink_log}."
            )


def superlink_command(folder: CoordinatorFolder, port: int, health_port: int) -> list[str]:
    """The engine's command line: TLS, node authentication, loopback only, no installs."""
    return [
        engine_program("flower-superlink"),
        "--ssl-ca-certfile", str(folder.pki / "ca.crt"),
        "--ssl-certfile", str(folder.pki / "server.crt"),
        "--ssl-keyfile", str(folder.pki / "server.key"),
        "--enable-supernode-auth",
        "--database", str(folder.state / "superlink.db"),
        "--disable-runtime-dependency-installation",
        "--host", LOOPBACK,
        "--port", str(port),
        "--health-server-address", f"{LOOPBACK}:{health_port}",
    ]  # fmt: skip


def superlink_environment(folder: CoordinatorFolder) -> dict[str, str]:
    """The environment of the SuperLink, which the ServerApp inherits."""
    return engine_environment(
        FLWR_HOME=str(folder.engine_home),
        FLWR_SUPEREXEC_TASK_POLL_INTERVAL="0.1",
        **{COORDINATOR_FOLDER: str(folder.path)},
    )


def wait_until(done: Callable[[], bool], seconds: float, poll_seconds: float = 0.1) -> bool:
    """Poll `done` until it is true or `seconds` have gone; returns its last answer."""
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(poll_seconds)
    return True


def _is_healthy(port: int) -> bool:
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    # A web proxy in the environment must not be asked for this machine's own port.
    options = [("grpc.enable_http_proxy", 0)]
    with grpc.insecure_channel(f"{LOOPBACK}:{port}", options=options) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            reply = stub.Check(health_pb2.HealthCheckRequest(), timeout=HEALTH_SECONDS)
        except grpc.RpcError:
            return False
        return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)


def _accepts(port: int) -> bool:
    import socket

    try:
        with socket.create_connection((LOOPBACK, port), timeout=HEALTH_SECONDS):
            return True
    except OSError:
        return False
