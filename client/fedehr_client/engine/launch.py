"""`python -m fedehr_client.engine.launch PROGRAM ...`: runs a program of the engine's.

Its code is the engine's own; its log has one line a record, and its loop waits no longer than it
must.
"""

import runpy
import sys

from fedehr_client.engine.one_line_log import keep_to_one_line
from fedehr_client.engine.waits import Waits


def run(arguments: list[str]) -> None:
    """Run a program of the engine's in this process.

    Args:
        arguments: its file, then its own arguments.
    """
    keep_to_one_line()
    Waits().install()
    sys.argv = arguments
    runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    run(sys.argv[1:])
