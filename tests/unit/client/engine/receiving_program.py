"""What the SuperNode does with messages of a run that has ended; their groups are the arguments."""

import sys
from typing import Any

from flwr.app import RecordDict
from flwr.app.message import make_message
from flwr.app.metadata import Metadata
from flwr.supercore.run import RunNotRunningException
from flwr.supernode.start_client_internal import _pull_and_store_message


class NoState:
    """Knows no run."""

    def get_run(self, _run_id: int) -> None:
        return None


def no_run(_run_id: int) -> Any:
    raise RunNotRunningException


def receive(group_id: str) -> None:
    metadata = Metadata(
        run_id=11, message_id="", src_node_id=1, dst_node_id=7, reply_to_message_id="",
        group_id=group_id, created_at=0.0, ttl=3600.0, message_type="query",
    )  # fmt: skip
    message = make_message(metadata, RecordDict())
    unused: Any = None
    state: Any = NoState()
    _pull_and_store_message(
        state=state,
        object_store=unused,
        node_config={},
        receive=lambda: (message, unused),
        get_run=no_run,
        get_fab=unused,
        pull_object=unused,
        confirm_message_received=unused,
        trusted_entities=None,
    )


if __name__ == "__main__":
    for each in sys.argv[1:]:
        receive(each)
