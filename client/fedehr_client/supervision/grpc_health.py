"""`GrpcHealth`: the gRPC health service (`grpc.health.v1`) of the node, on loopback."""

from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from fedehr_client.supervision.http_health import port_taken
from fedehr_shared.ports import LOOPBACK

SERVICE = "fedehr.node"
_NUM_THREADS = 2


class GrpcHealth:
    """Services `fedehr.node`, which follows readiness, and the empty one: the server is there."""

    def __init__(self, port: int) -> None:
        """Listens at once, and does not serve yet.

        Args:
            port: 0: a free one.

        Raises:
            NetworkError: the port is taken.
        """
        self._health = health.HealthServicer(experimental_non_blocking=True)
        self._server = grpc.server(
            ThreadPoolExecutor(_NUM_THREADS, "grpc-health"),
            # Without it two servers could share a port, and each would get half the questions.
            options=[("grpc.so_reuseport", 0)],
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        try:
            self.port: int = self._server.add_insecure_port(f"{LOOPBACK}:{port}")
        except RuntimeError as error:
            raise port_taken("grpc_port", port, error) from error
        self.tell(is_ready=False)
        self._server.start()

    def tell(self, *, is_ready: bool) -> None:
        """What it answers from now on."""
        status = health_pb2.HealthCheckResponse
        self._health.set(SERVICE, status.SERVING if is_ready else status.NOT_SERVING)

    def stop(self) -> None:
        """Serve no more."""
        self._health.enter_graceful_shutdown()
        self._server.stop(grace=1).wait()
