"""`python -m fedehr_client.engine.launch PROGRAM ...`: runs a program of the engine's.

Its code is the engine's own; its log has one line a record, its loop waits no longer than it
must, and its process ends with that loop: by itself the engine's lives on, and answers nothing.
"""

import os
import runpy
import sys

from fedehr_client.engine.one_line_log import keep_to_one_line
from fedehr_client.engine.waits import Waits


def run(arguments: list[str]) -> None:
    """Run a program of the engine's in this process, and end it when the program has ended.

    Args:
        arguments: its file, then its own arguments.
    """
    keep_to_one_line()
    Waits().install()
    sys.argv = arguments
    status = 1
    try:
        runpy.run_path(arguments[0], run_name="__main__")
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # Its API runs in a thread that ends only when it is told to.
        os._exit(status)


if __name__ == "__main__":
    run(sys.argv[1:])
