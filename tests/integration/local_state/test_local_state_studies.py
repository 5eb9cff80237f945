"""Whole studies with moments averaged, kept and fresh, and with a private output bias."""

import json
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from fedehr_client.training.carry_over import PRIVATE_VALUES
from fedehr_client.training.local_state import FOLDER_NAME
from fedehr_server.checkpoint import CheckpointFolder, load_weights
from fedehr_shared.wire.codec.record import decode
from fedehr_shared.wire.reports import ROUND_METRICS, ErrorReport

LONG = {"rounds": 3, "steps_per_round": 20, "learning_rate": 0.02}
SHORT = {**LONG, "steps_per_round": 4}


@pytest.fixture(scope="module")
def sites(hospitals: Any) -> Any:
    """Two small hospitals."""
    return hospitals.sites[1:]


@pytest.fixture(scope="module")
def kept_study(make_study: Any) -> Any:
    """Moments kept in both phases, and a private bias."""
    return make_study(
        pretraining={**SHORT, "optimizer_state": "kept", "private_bias": True},
        finetuning={"optimizer_state": "kept"},
    )


class Watch:
    """Looks into each site's kept state when its answer arrives."""

    def __init__(self, work: Path, sites: Any) -> None:
        self.biases: list[np.ndarray[Any, Any]] = []
        self.names: set[str] = set()
        self._folders = [work / site.name / FOLDER_NAME for site in sites]

    def __call__(self, sent: Any) -> list[Any]:
        for file in self._folders[sent.node].rglob(f"{sent.phase}-*.safetensors"):
            kept = load_file(file)
            self.names |= set(kept)
            if PRIVATE_VALUES in kept:
                self.biases.append(kept[PRIVATE_VALUES])
        return [sent.payload]


@pytest.fixture(scope="module")
def watched(
    kept_study: Any, sites: Any, run_study_in_process: Any, tmp_path_factory: Any
) -> tuple[Any, Watch]:
    """The study run to its end, and what its sites kept meanwhile."""
    folder = tmp_path_factory.mktemp("kept")
    watch = Watch(folder / "work", sites)
    return run_study_in_process(kept_study, sites, folder, alter=watch), watch


def _bits(run: Any, phase: str = "finetuning") -> dict[str, bytes]:
    weights = load_weights(CheckpointFolder(run.folder / "checkpoints").latest(phase))
    return {name: array.tobytes() for name, array in weights.items()}


def _arrays(messages: Any) -> Iterator[tuple[str, Any]]:
    for message in messages:
        for record, data in message.payload.tensors.items():
            yield from ((f"{record}.{name}", array) for name, array in decode(data).items())


@pytest.mark.parametrize(
    ("state", "private"), [("averaged", True), ("kept", False), ("fresh", True)]
)
def test_each_way_of_carrying_over_learns(
    *, make_study: Any, sites: Any, run_study_in_process: Any, tmp_path: Path, state: str,
    private: bool,
) -> None:  # fmt: skip
    study = make_study(
        # With a bias of its own a site begins with its code frequencies, and learns later.
        pretraining={**LONG, "rounds": 6, "optimizer_state": state, "private_bias": private},
        finetuning={"rounds": 0},
    )
    run = run_study_in_process(study, sites, tmp_path)
    losses = run.result["pretraining_loss"]
    assert losses[-1] < losses[0] - 0.05
    travelled = {name.split(".")[0] for name, _ in _arrays(run.messages)}
    assert ("moments" in travelled) == (state == "averaged")
    kept = list((tmp_path / "work").rglob(f"{FOLDER_NAME}/*/*.safetensors"))
    # Two rounds of each site: the last, and the one before in case the last is asked for again.
    assert len(kept) == (2 * len(sites) if private or state == "kept" else 0)


def test_no_message_holds_a_private_bias(watched: tuple[Any, Watch]) -> None:
    run, watch = watched
    assert PRIVATE_VALUES in watch.names
    assert len(watch.biases) >= 2 * 3
    vocabulary = json.loads((run.folder / "vocabulary.json").read_text())
    assert {bias.shape for bias in watch.biases} == {(watch.biases[0].size,)}
    assert watch.biases[0].size > len(vocabulary["codes"]) / 2
    own = np.unique(np.concatenate(watch.biases).view(np.uint32))
    assert own.size > 500
    names = set()
    for name, array in _arrays(run.messages):
        names.add(name)
        # One number of many may have the same bits by chance; a tensor of them may not.
        same = np.intersect1d(np.ravel(array).view(np.uint32), own)
        assert same.size <= 2, name
    for message in run.messages:
        for record, values in message.payload.values.items():
            names |= {f"{record}.{key}" for key in values}
            numbers = [v for value in values.values() for v in np.ravel(value).tolist()]
            floats = np.asarray([v for v in numbers if type(v) is float], dtype=np.float32)
            assert np.intersect1d(floats.view(np.uint32), own).size == 0
    assert not any("private" in name or "bias.values" in name for name in names)


def test_nothing_is_kept_of_a_study_that_is_over(watched: tuple[Any, Watch]) -> None:
    run, watch = watched
    assert any(name.startswith("heads.") for name in watch.names)
    assert list(run.work.rglob("*.safetensors")) == []


def test_a_round_asked_for_again_is_answered_the_same(
    kept_study: Any, watched: tuple[Any, Watch], sites: Any, run_study_in_process: Any,
    tmp_path: Path,
) -> None:  # fmt: skip
    """The first answers of two rounds are lost after the site has kept its state."""

    def lose(sent: Any) -> list[Any]:
        if sent.round == 2 and sent.node == 1 and sent.attempt == 1:
            return [ErrorReport("failed", "0123456789abcdef").to_payload()]
        return [sent.payload]

    again = run_study_in_process(kept_study, sites, tmp_path, alter=lose)
    asked = [m for m in again.messages if m.attempt == 2 and m.direction == "up"]
    assert {m.phase for m in asked} == {"pretraining", "finetuning"}
    assert _bits(again, "pretraining") == _bits(watched[0], "pretraining")
    assert _bits(again) == _bits(watched[0])


@pytest.mark.parametrize("fault", ["lost", "damaged"])
def test_a_site_whose_state_is_gone_begins_anew_and_says_so(
    *, kept_study: Any, watched: tuple[Any, Watch], sites: Any, run_study_in_process: Any,
    tmp_path: Path, caplog: pytest.LogCaptureFixture, fault: str,
) -> None:  # fmt: skip
    folder = tmp_path / "work" / sites[0].name / FOLDER_NAME

    def spoil(sent: Any) -> list[Any]:
        if (sent.phase, sent.round, sent.node) == ("pretraining", 1, 0):
            if fault == "lost":
                shutil.rmtree(folder)
            else:
                next(folder.rglob("*.safetensors")).write_bytes(b"\0" * 100)
        return [sent.payload]

    with caplog.at_level(logging.WARNING, "fedehr.client"):
        run = run_study_in_process(kept_study, sites, tmp_path, alter=spoil)
    assert run.result["status"] == "completed"
    told = [r.getMessage() for r in caplog.records if "starts afresh" in r.getMessage()]
    assert len(told) == 1
    assert _bits(run) != _bits(watched[0])


def test_a_study_tells_what_its_sites_did(watched: tuple[Any, Watch], sites: Any) -> None:
    run, _ = watched
    names = [site.name for site in sites]
    lines = (run.folder / "progress.jsonl").read_text().splitlines()
    rounds = [e for e in map(json.loads, lines) if e["event"] == "round" and e["loss"] is not None]
    assert [event["phase"] for event in rounds] == ["pretraining"] * 3 + ["finetuning"] * 2
    for event in rounds:
        assert sorted(event["sites"]) == names
        expected = {"num_steps", "loss", *ROUND_METRICS}
        if event["phase"] == "finetuning":
            expected.remove("code_entropy")
        assert all(set(told) == expected for told in event["sites"].values())
        assert min(told["grad_norm"] for told in event["sites"].values()) > 0
    result = json.loads((run.folder / "result.json").read_text())["training"]
    assert sorted(result) == ["finetuning", "pretraining"]
    assert sorted(result["pretraining"]) == names
    for told in result["pretraining"].values():
        assert told["num_rounds"] == 3
        assert told["num_steps"] == 12
        assert told["learning_rate"] < 0.002
        assert 1 < told["code_entropy"] < 8
        assert told["code_entropy"] == round(told["code_entropy"], 2)


def test_sites_of_other_sizes_take_other_numbers_of_steps(
    make_study: Any, hospitals: Any, run_study_in_process: Any, tmp_path: Path
) -> None:
    """One epoch a round in batches of 20: told counts alone say how many steps that is."""
    study = make_study(
        pretraining={
            "steps_per_round": 10, "epochs_per_round": 1.0, "batch_subjects": 20,
            "optimizer_state": "kept", "proximal_weight": 0.1,
        },
        finetuning={"rounds": 0},
    )  # fmt: skip
    run = run_study_in_process(study, hospitals.sites, tmp_path)
    sent = [m.payload.values["report"] for m in run.messages if m.direction == "up"]
    trained = [report for report in sent if "num_steps" in report]
    assert len({report["num_steps"] for report in trained}) == 3
    for report in trained:
        assert report["num_steps"] == -(-report["num_examples"] // 20)
