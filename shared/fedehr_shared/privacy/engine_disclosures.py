"""`ENGINE_DISCLOSURES`: what Flower 1.41 sends of its own from a site, around fedehr's answers.

Read in its source and in what crossed a real connection. The records are the requests of a
SuperNode (`/v1/fleet/<record>`), their headers, the metadata of a message, and the connection.
"""

from fedehr_shared.privacy.disclosure import Disclosure, Protection, Subjects


def _sent(
    record: str,
    keys: tuple[str, ...],
    what: str,
    reason: str,
    *,
    unit: str = "",
    subjects: Subjects = "none",
    protection: Protection = "public",
) -> Disclosure:
    """What the engine sends is the same with noise and without, in every phase."""
    return Disclosure(
        record, keys, (), what, unit, subjects, protection, protection, reason,
    )  # fmt: skip


ENGINE_DISCLOSURES: tuple[Disclosure, ...] = (
    _sent(
        "connection", ("address", "server_name", "tls_version", "opened", "closed"),
        "the site's public address and when it is connected",
        "of the machine and its network; tells whether the hospital's node is up",
    ),
    _sent(
        "connection", ("num_bytes",), "how large each message is",
        "follows from the answer that travels in it: its lists, and how well its tensors pack",
        unit="bytes", subjects="training", protection="not_covered",
    ),
    _sent(
        "headers", ("host", "accept", "accept-encoding", "connection", "user-agent",
                    "content-type"),
        "HTTP", "of the software",
    ),
    _sent(
        "headers", ("content-length",), "how large each request is",
        "of an answer's pieces it is the size of the message", unit="bytes", subjects="training",
        protection="not_covered",
    ),
    _sent(
        "headers", ("flwr-package-name", "flwr-package-version", "flwr-component-name"),
        "the engine's version", "of the software",
    ),
    _sent(
        "headers", ("flwr-public-key", "flwr-signature"),
        "the site's public key, and its signature", "made by `fedehr-client init`",
    ),
    _sent(
        "headers", ("flwr-timestamp",), "the machine's clock, with each request",
        "of the request that brings an answer it tells how long the answer took",
        unit="microseconds", subjects="training", protection="not_covered",
    ),
    _sent(
        "activate-node", ("public_key", "heartbeat_interval"), "the node connects",
        "at `fedehr-client start`", unit="seconds",
    ),
    _sent(
        "deactivate-node", ("node_id",), "the node leaves", "at `fedehr-client stop`",
    ),
    _sent(
        "send-node-heartbeat", ("node.node_id", "heartbeat_interval"), "the node is alive",
        "every 17 to 23 seconds, at random, whatever the node does", unit="seconds",
    ),
    _sent(
        "pull-messages", ("node.node_id",), "is there work?",
        "every 3 seconds while the node has none; its silence tells that it works",
        subjects="training", protection="not_covered",
    ),
    _sent(
        "get-run", ("node.node_id", "run_id"), "which run is this?", "names of the coordinator's",
    ),
    _sent(
        "get-fab", ("node.node_id", "hash_str", "run_id"), "the run's bundle, which holds no code",
        "names of the coordinator's",
    ),
    _sent(
        "pull-object", ("node.node_id", "run_id", "object_id"), "a piece of a request",
        "names of the coordinator's",
    ),
    _sent(
        "confirm-message-received", ("node.node_id", "run_id", "message_object_id"),
        "a request is here", "names of the coordinator's",
    ),
    _sent(
        "push-messages",
        ("node.node_id", "messages_list.metadata"), "an answer's envelope",
        "its fields stand below, as `metadata`",
    ),
    _sent(
        "push-messages", ("message_object_trees.object_id", "message_object_trees.children"),
        "the SHA-256 of each piece of an answer, and how many pieces there are",
        "a digest tells no more than its piece, which the coordinator is given; how many there "
        "are tells the size", subjects="training", protection="not_covered",
    ),
    _sent(
        "push-messages", ("clientapp_runtime_list",), "how long the answer took",
        "grows with the records that a round sees, to the microsecond; `withheld` cannot hide it",
        unit="seconds", subjects="training", protection="not_covered",
    ),
    _sent(
        "push-object", ("node.node_id", "run_id", "session_id"), "the envelope of a piece", "names",
    ),
    _sent(
        "push-object", ("object_id",), "the SHA-256 of a piece",
        "tells no more than the piece, which the coordinator is given", subjects="training",
        protection="not_covered",
    ),
    _sent(
        "push-object", ("object_content",), "a piece of an answer, 5 MiB at most",
        "the answer's records as above, each with its names, sizes and types", subjects="training",
        protection="not_covered",
    ),
    _sent(
        "metadata",
        ("run_id", "message_id", "src_node_id", "dst_node_id", "reply_to_message_id", "group_id",
         "message_type", "ttl", "src_task_id", "dst_task_id"),
        "who answers what", "numbers drawn at random, digests, and `query`",
    ),
    _sent(
        "metadata", ("created_at",), "when the answer was ready",
        "with the request's time it tells how long the answer took", unit="seconds",
        subjects="training", protection="not_covered",
    ),
    _sent(
        "error", ("code",), "the engine's word for a process that ended",
        "sent where the site's process is killed, as for want of memory", subjects="all",
        protection="not_covered",
    ),
    _sent(
        "error", ("reason",), "the engine's own text",
        "no text of ours is ever in it: fedehr answers every exception itself, with a code",
    ),
)  # fmt: skip
