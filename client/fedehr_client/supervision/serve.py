"""`serve`: a supervisor with its log, which ends at SIGTERM, SIGINT or SIGHUP."""

import logging
import signal
from collections.abc import Callable
from types import FrameType

from fedehr_client.node.folder import NodeFolder
from fedehr_client.supervision.log_files import log_file
from fedehr_client.supervision.node_log import node_log
from fedehr_client.supervision.supervisor import Supervisor
from fedehr_shared.errors import DataError, FedehrError

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

log = logging.getLogger(__name__)


def serve(
    node: NodeFolder, *, is_detached: bool, on_joined: Callable[[], None] | None = None
) -> int:
    """Run a node in this process until it is told to end.

    Args:
        node: the node's folder.
        is_detached: nobody looks on.
        on_joined: called when the coordinator has let the node in.

    Returns:
        How many processes it ended.

    Raises:
        FedehrError: it cannot start, or cannot join for the first time.
    """
    file = log_file(node, "node")
    try:
        with node_log(file, also_standard_error=not is_detached):
            supervisor = Supervisor(node, is_detached=is_detached, on_joined=on_joined)

            def end(_number: int, _frame: FrameType | None) -> None:
                supervisor.end()

            for number in _SIGNALS:
                signal.signal(number, end)
            return _run(supervisor)
    except OSError as error:
        raise DataError(
            f"cannot write {error.filename or node.path}: {error.strerror}. Mend the node "
            "folder's permissions or free the disk."
        ) from error


def _run(supervisor: Supervisor) -> int:
    try:
        return supervisor.run()
    except (FedehrError, OSError):
        raise
    except Exception as error:
        log.exception("the supervisor failed")
        raise FedehrError(
            f"the supervisor failed ({type(error).__name__}). Read the end of logs/node.log and "
            "start the node again."
        ) from error
