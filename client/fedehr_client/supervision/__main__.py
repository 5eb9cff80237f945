"""`python -m fedehr_client.supervision DIR`: what `fedehr-client start --detach` leaves running."""

import sys
from pathlib import Path

from fedehr_client.node.folder import open_node
from fedehr_client.supervision.serve import serve
from fedehr_shared.errors import FedehrError


def main() -> int:
    """Run a node until it is told to end; returns the exit code of `fedehr_shared.errors`."""
    try:
        serve(open_node(Path(sys.argv[1])), is_detached=True)
    except FedehrError as error:
        # The state file and the log have the sentence.
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
