"""Watching a run: progress as it grows, the bundle, the lines on the terminal."""

import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedehr_server.network.coordinator import CoordinatorNetworkConfig, create_coordinator
from fedehr_server.network.display import describe_event, format_bytes
from fedehr_server.network.status import coordinator_status
from fedehr_server.network.submission import ProgressReader, submit
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import ConfigError, NetworkError, UsageError

STUDY = StudyConfig.model_validate({"name": "lab", "finetuning": {"tasks": ["death"]}})


@given(cuts=st.lists(st.integers(0, 400), max_size=8))
def test_events_come_once_and_whole_however_they_are_written(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int]
) -> None:
    events = [{"event": "round", "round": number} for number in range(10)]
    content = "".join(json.dumps(event) + "\n" for event in events).encode()
    file = tmp_path_factory.mktemp("run") / "progress.jsonl"
    reader = ProgressReader(file)
    assert reader.new_events() == []
    edges = sorted({0, len(content), *(min(cut, len(content)) for cut in cuts)})
    seen = []
    for start, end in itertools.pairwise(edges):
        with file.open("ab") as growing:
            growing.write(content[start:end])
        seen += reader.new_events()
    assert seen == events


def test_a_round_in_one_line() -> None:
    event = {
        "event": "round", "time_seconds": 12.34, "phase": "finetuning", "round": 2,
        "num_rounds": 5, "num_answers": 3, "loss": 0.51234, "auroc": {"death": 0.7654, "los": None},
        "bytes_up": 1_500, "bytes_down": 2_000_000, "seconds": 3.21,
    }  # fmt: skip
    line = describe_event(event)
    for part in ("finetuning", "2/5", "0.5123", "death AUROC 0.765", "los AUROC withheld",
                 "1.5 kB", "2.0 MB"):  # fmt: skip
        assert part in line


def test_every_event_has_a_line() -> None:
    for kind in ("joined", "phase", "round", "site_error", "end"):
        assert describe_event({"event": kind, "time_seconds": 1.0}).strip()


def test_a_proposal_names_who_was_asked_and_what_each_has_decided() -> None:
    asked = describe_event({"event": "asked", "site": "north", "time_seconds": 1.0})
    assert asked.endswith("north: asked")
    decisions = {
        "approved": "north: approved",
        "waiting": "north: waits for a person",
        "contract": "north: answered with an error, contract",
    }
    for state, told in decisions.items():
        event = {"event": "proposal", "site": "north", "state": state, "time_seconds": 2.0}
        assert told in describe_event(event)


@pytest.mark.parametrize(("size", "text"), [(0, "0 B"), (999, "999 B"), (3_200_000_000, "3.2 GB")])
def test_bytes_for_people(size: int, text: str) -> None:
    assert format_bytes(size) == text


def test_what_is_wrong_with_a_submission_is_said_first(tmp_path: Path) -> None:
    network = CoordinatorNetworkConfig(host="localhost")
    folder = create_coordinator(tmp_path / "c", network)
    with pytest.raises(UsageError, match="name"):
        submit(folder, STUDY, run="../outside")
    with pytest.raises(ConfigError, match="needs 2 sites"):
        submit(folder, STUDY)
    with pytest.raises(NetworkError, match="not running"):
        submit(folder, STUDY, run="again", num_sites=2)
    # Nothing of a refused submission stays, so its name is free again.
    assert coordinator_status(folder)["runs"] == []
