"""A study over a real network: every field that leaves a site is in the tables, and a planted
subject is in none of it, nor in any log.

A proxy with the coordinator's certificate stands before one hospital's node and keeps all that
the node sends; what it kept is taken apart down to single fields.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fedehr_shared.config.study import StudyConfig
from fedehr_shared.meds.folder import FederationFolder
from fedehr_shared.meds.reader import read_splits
from fedehr_shared.meds.schema import SPLITS
from fedehr_shared.privacy.engine_disclosures import ENGINE_DISCLOSURES
from fedehr_shared.privacy.key_patterns import KeyPatterns
from fedehr_shared.wire.codec.record import decode
from fedehr_shared.wire.payload import Payload
from fedehr_shared.wire.work import PHASES

pytestmark = [pytest.mark.e2e, pytest.mark.debian]

STUDY = """
name = "what-leaves"

[federation]
min_sites = 2
join_deadline_seconds = 90.0
round_deadline_seconds = 150.0

[sequence]
context = 64

[model]
layers = 1
hidden = 16
heads = 2

[pretraining]
rounds = 1
steps_per_round = 2
steps_per_epoch = 2

[finetuning]
tasks = ["death"]
rounds = 1
steps_per_round = 2
steps_per_epoch = 2

[privacy]
mechanism = "local"
noise_multiplier = 1.0
target_delta = 1e-4
nominal_subjects = 300
phases = ["finetuning"]

[privacy.finetuning]
sample_rate = 1.0

[evaluation]
calibration = "platt"
num_bootstraps = 100
"""
"""Both kinds of phases: pre-training without noise, fine-tuning with it."""


@dataclass(frozen=True)
class Left:
    """What left one hospital, and what was written down anywhere.

    Attributes:
        site: its name.
        subjects: planted in it.
        connections: every byte that its node sent, by connection.
        requests: the same as HTTP requests.
        payloads: the answers that fedehr made, put together again from the engine's pieces.
        coordinator: the coordinator's folder, all of it.
        logs: of the hospital's node, with its receipts and its audit.
    """

    site: str
    subjects: list[Any]
    connections: list[bytes]
    requests: list[Any]
    payloads: list[Payload]
    coordinator: Path
    logs: list[Path]


@pytest.fixture(scope="module")
def left(
    make_network: Callable[..., Any],
    recording_proxy: Any,
    planted_subject: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> Left:
    folder = tmp_path_factory.mktemp("left")
    study = folder / "study.toml"
    study.write_text(STUDY)
    network = make_network()
    make = ("--out", folder / "sites", "--subjects", 600, "--sites", 2)
    network.must("fedehr-sim", "hospitals", *make)
    haunted, other = FederationFolder(folder / "sites").sites
    subjects = [planted_subject.planted(seed, split) for seed, split in enumerate(SPLITS)]
    splits = read_splits(haunted)
    for one in subjects:
        one.plant(haunted, like=next(s for s, split in splits.items() if split == one.split))
    network.join(other.name, other.path)
    proxy = recording_proxy.RecordingProxy(network.coordinator, network.proxy_port)
    network.proxy_port = proxy.port
    node = network.join(haunted.name, haunted.path)
    network.approve(study)
    submit = ("submit", network.coordinator, study, "--run", "watched")
    done = network.run("fedehr-server", *submit, timeout=500.0)
    assert done.returncode == 0, done.stderr
    for joined in network.nodes.values():
        network.must("fedehr-client", "stop", joined)
    proxy.close()
    result = json.loads((network.coordinator / "runs" / "watched" / "result.json").read_text())
    assert result["status"] == "completed"
    assert result["missing"] == []
    return Left(
        haunted.name,
        subjects,
        proxy.connections,
        proxy.requests,
        _answers(proxy.requests),
        network.coordinator,
        [*sorted((node / "logs").iterdir()), *_written(node)],
    )


def _written(node: Path) -> list[Path]:
    """What a node keeps for people to read."""
    outbox = [file for file in sorted((node / "outbox").rglob("*")) if file.is_file()]
    contracts = [file for file in sorted((node / "contracts").rglob("*")) if file.is_file()]
    return [node / "audit.jsonl", *outbox, *contracts, *sorted((node / "state").glob("*.json"))]


def _messages(requests: list[Any]) -> Iterator[tuple[str, Any]]:
    """By the last part of its path, each request as the engine reads it."""
    from flwr.proto import fab_pb2, fleet_pb2, heartbeat_pb2, message_pb2, run_pb2

    kinds = {
        "activate-node": fleet_pb2.ActivateNodeRequest,
        "deactivate-node": fleet_pb2.DeactivateNodeRequest,
        "send-node-heartbeat": heartbeat_pb2.SendNodeHeartbeatRequest,
        "pull-messages": fleet_pb2.PullMessagesRequest,
        "push-messages": fleet_pb2.PushMessagesRequest,
        "push-object": message_pb2.PushObjectRequest,
        "pull-object": message_pb2.PullObjectRequest,
        "confirm-message-received": message_pb2.ConfirmMessageReceivedRequest,
        "get-run": run_pb2.GetRunRequest,
        "get-fab": fab_pb2.GetFabRequest,
    }
    for request in requests:
        name = request.path.removeprefix("/v1/fleet/")
        if name:
            message = kinds[name]()
            message.ParseFromString(request.body)
            # Whatever the engine's own definition does not know would not come back.
            assert message.ByteSize() == len(request.body), name
            yield name, message


def _answers(requests: list[Any]) -> list[Payload]:
    from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents

    from fedehr_server.grid import from_records

    pieces: dict[str, bytes] = {}
    trees: list[str] = []
    for name, message in _messages(requests):
        if name == "push-object":
            pieces[message.object_id] = message.object_content
        if name == "push-messages":
            trees += [tree.object_id for tree in message.message_object_trees]
    reached: dict[str, Any] = {}
    found = [
        inflate_object_from_contents(tree, pieces, keep_object_contents=True, objects=reached)
        for tree in trees
    ]
    # No piece was sent that belongs to no answer.
    assert pieces.keys() == reached.keys()
    return [from_records(message.content) for message in found]


def _fields(message: Any, place: str = "") -> Iterator[str]:
    """The names of all fields that are set, down to single values."""
    for field, value in message.ListFields():
        at = f"{place}{field.name}"
        if field.type != field.TYPE_MESSAGE:
            yield at
            continue
        for one in value if field.is_repeated else [value]:
            yield from _fields(one, f"{at}.")


def _of_engine(record: str) -> set[str]:
    return {key for one in ENGINE_DISCLOSURES if one.record == record for key in one.keys}


def test_every_field_of_the_engine_is_in_its_table(left: Left) -> None:
    seen: set[str] = set()
    for name, message in _messages(left.requests):
        seen.add(name)
        for field in _fields(message):
            envelope = field.removeprefix("messages_list.")
            record, _, key = envelope.partition(".")
            if envelope != field and record in {"metadata", "error"}:
                assert key in _of_engine(record), field
            else:
                # Trees have branches like themselves.
                told = field.replace("children.", "") if "children" in field else field
                assert told in _of_engine(name), f"{name}: {field} is not in the table"
    listed = {one.record for one in ENGINE_DISCLOSURES}
    assert seen == listed - {"connection", "headers", "metadata", "error"}


def test_every_header_is_in_the_table(left: Left) -> None:
    assert len(left.requests) > 20
    for request in left.requests:
        assert request.path.startswith("/v1/fleet/")
        assert request.headers.keys() <= _of_engine("headers")
    answered = [r for r in left.requests if r.path.endswith("/push-messages")]
    assert answered[0].headers["flwr-component-name"] == "SuperNode"


def test_every_number_of_an_answer_is_in_the_table(left: Left, tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text(STUDY)
    table = KeyPatterns(StudyConfig.load(tmp_path / "study.toml"))
    *answers, end = left.payloads
    assert (end.tensors, end.values) == ({}, {"end": {"site": left.site}})
    for phase, payload in zip(PHASES, answers, strict=True):
        names = [(r, name) for r, data in payload.tensors.items() for name in decode(data)]
        names += [(r, key) for r, values in payload.values.items() for key in values]
        assert len(names) > 10
        for record, key in names:
            assert table.find(phase, record, key) is not None, f"{phase}: {record}.{key}"
    assert left.payloads[2].tensors.keys() >= {"update"}


def test_the_planted_subjects_are_in_nothing_that_left(left: Left, planted_subject: Any) -> None:
    contents = [*left.connections, *(request.body for request in left.requests)]
    for payload in left.payloads:
        contents += planted_subject.contents_of(payload)
    assert sum(map(len, left.connections)) > 50_000
    found = {
        trace for one in left.subjects for content in contents for trace in one.traces(content)
    }
    assert found == set()


def test_they_are_in_no_file_of_the_coordinator(left: Left, planted_subject: Any) -> None:
    files = dict(planted_subject.files_of([left.coordinator]))
    names = {file.name for file in files}
    assert {"result.json", "superlink.log", "run-watched.log"} <= names
    for file, content in files.items():
        for one in left.subjects:
            assert one.traces(content) == [], file


def test_they_are_in_no_log_of_the_site(left: Left) -> None:
    names = {file.name for file in left.logs}
    assert {"supernode.log", "worker.log", "child.log", "node.log", "audit.jsonl"} <= names
    assert any(file.parent.name == "receipts" for file in left.logs)
    for file in left.logs:
        content = file.read_bytes()
        assert b"Sent successfully" in content or file.name != "supernode.log"
        for one in left.subjects:
            assert one.traces(content) == [], file


def test_the_proxy_kept_what_was_sent(left: Left) -> None:
    """Or else nothing would be found: the site's name is in its answers, in the clear."""
    assert any(b"hospital-1" in sent for sent in left.connections)
