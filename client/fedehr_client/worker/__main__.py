"""`python -m fedehr_client.worker DIR --runtime-port N`, started by the node's supervisor."""

import argparse
import sys
from pathlib import Path

from fedehr_shared.errors import ConfigError, FedehrError


def main() -> int:
    """Run the worker until SIGTERM; returns the exit code of `fedehr_shared.errors`."""
    options = argparse.ArgumentParser(prog="python -m fedehr_client.worker")
    options.add_argument("folder", metavar="DIR", type=Path, help="the node's folder")
    options.add_argument("--runtime-port", type=int, required=True, help="of the SuperNode's API")
    arguments = options.parse_args()
    try:
        _work(arguments.folder, arguments.runtime_port)
    except FedehrError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return error.exit_code
    return 0


def _work(path: Path, port: int) -> None:
    from fedehr_client.engine.runtime_tasks import RuntimeTasks
    from fedehr_client.node.folder import open_node
    from fedehr_client.supervision.work_report import WorkReport
    from fedehr_client.worker.allocation import return_large_blocks
    from fedehr_client.worker.desk import Desk
    from fedehr_client.worker.ending import Ending
    from fedehr_client.worker.log import log_to_standard_error
    from fedehr_client.worker.worker import Worker

    log_to_standard_error()
    return_large_blocks()
    ending = Ending()
    ending.listen()
    node = open_node(path)
    tasks = RuntimeTasks(port, _secret(node.secret_file), ending.why)
    desk = Desk(node, ending.why)
    ending.at_last(desk.close)
    try:
        Worker(tasks, desk, WorkReport(node.state), ending).run()
    finally:
        desk.close()
        desk.finish()
        tasks.close()


def _secret(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"cannot read {file}: {error.strerror}. Start the node with `fedehr-client start`."
        ) from error


if __name__ == "__main__":
    sys.exit(main())
