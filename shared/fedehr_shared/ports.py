"""TCP ports on this machine: whether one is taken, and which one is free."""

import socket

from fedehr_shared.errors import NetworkError

LOOPBACK = "127.0.0.1"


def require_free_port(port: int, next_step: str) -> None:
    """Check that `port` can be listened on, on the loopback interface.

    Raises:
        NetworkError: it is taken; the message ends with `next_step`.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Like the server itself: a port whose last connection is closing is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except PermissionError as error:
            raise NetworkError(f"this user may not listen on port {port}. {next_step}") from error
        except OSError as error:
            raise NetworkError(f"port {port} is already taken. {next_step}") from error


def free_port() -> int:
    """A loopback port that nobody listens on at the moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])
