"""A whole study answered by the real process of a node: the same bits, and what warmth saves."""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from fedehr_client.answers.reply import reply_to
from fedehr_client.child.config import LimitsConfig
from fedehr_client.child.study_children import StudyChildren
from fedehr_client.erasure.place import Place
from fedehr_client.erasure.site import SiteErasure
from fedehr_client.locator import SITE_FILE, SiteLocator
from fedehr_shared.errors import BusyError, ComputeError
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.meds.reader import read_splits
from fedehr_shared.wire.payload import Payload

ALONE: dict[str, Any] = {"vocabulary": {"min_sites": 1}, "federation": {"min_sites": 1}}
PRIVACY: dict[str, Any] = {
    "mechanism": "local",
    "noise_multiplier": 1.0,
    "target_delta": 1e-5,
    "nominal_subjects": 100,
}
LONG: dict[str, Any] = {"steps_per_round": 2_000, "rounds": 1}
SITE = """
[site]
name = {name}
records = {records}
work = {work}
[compute]
device = "cpu"
num_threads = 1
precision = "fp32"
[ceilings]
min_cell = 5
[network]
coordinator = "localhost:1"
root_certificates = "ca.crt"
private_key = "node.key"
"""

Requests = dict[tuple[str, int], Payload]


@pytest.fixture(scope="module")
def study(make_study: Any) -> Any:
    return make_study(**ALONE, finetuning={"rounds": 3})


@pytest.fixture(scope="module")
def requests(
    study: Any, hospitals: Any, run_study_in_process: Any, tmp_path_factory: Any
) -> Requests:
    """What one site was asked in a whole study."""
    run = run_study_in_process(study, hospitals.sites[:1], tmp_path_factory.mktemp("run"))
    asked = [m for m in run.messages if m.direction == "down"]
    return {(m.phase, m.round): m.payload for m in asked}


def _site_file(records: SiteFolder, folder: Path) -> Path:
    folder.mkdir()
    file = folder / "site.toml"
    named = {"name": records.name, "records": str(records.path), "work": str(folder / "work")}
    file.write_text(SITE.format(**{key: json.dumps(text) for key, text in named.items()}))
    return file


@pytest.fixture
def children(hospitals: Any, tmp_path: Path) -> Iterator[StudyChildren]:
    file = _site_file(hospitals.sites[0], tmp_path / "node")
    made = StudyChildren(file, file.parent / "work", LimitsConfig(), tmp_path / "child.log")
    yield made
    made.close()


def _never() -> None:
    return None


def _timeless(payload: Payload) -> Payload:
    payload.values.get("metrics", {}).pop("seconds", None)
    return payload


def _cold(request: Payload, site_file: Path) -> Payload:
    return reply_to(lambda: request, lambda: SiteLocator().locate({SITE_FILE: str(site_file)}, {}))


def test_a_whole_study_has_the_same_bits_and_opens_and_builds_once(
    study: Any, requests: Requests, hospitals: Any, children: StudyChildren, tmp_path: Path
) -> None:
    here = _site_file(hospitals.sites[0], tmp_path / "here")
    pids, seconds = set(), {}
    for asked, request in requests.items():
        began = time.monotonic()
        answer = children.answer(study.digest, request, _never)
        seconds[asked] = time.monotonic() - began
        pids.add(children.pids[study.digest])
        assert _timeless(answer) == _timeless(_cold(request, here)), asked
    assert len(pids) == 1
    log = (tmp_path / "child.log").read_text()
    assert "records opened 1 times, models built 2 times" in log.splitlines()[-1]
    refused = children.answer(study.digest, Payload(values={"work": {"work_id": "none"}}), _never)
    assert set(refused.values["error"]) == {"code", "reference"}
    assert refused.text("error", "reference") in (tmp_path / "child.log").read_text()
    print({f"{phase} {number}": round(took, 2) for (phase, number), took in seconds.items()})


def test_ledger_kept_answers_and_what_was_sent_are_written_and_erasing_finds_them(
    make_study: Any,
    copied_hospitals: Any,
    run_study_in_process: Any,
    tmp_path: Path,
) -> None:
    """The process may write there and nowhere else."""
    study = make_study(**ALONE, privacy=PRIVACY)
    site = copied_hospitals.sites[0]
    run = run_study_in_process(study, [site], tmp_path / "run")
    asked = {(m.phase, m.round): m.payload for m in run.messages if m.direction == "down"}
    records = _contents(site.path)
    work = tmp_path / "node" / "work"
    file = _site_file(site, tmp_path / "node")
    children = StudyChildren(file, work, LimitsConfig(), tmp_path / "child.log")
    try:
        children.answer(study.digest, asked["vocabulary", 1], _never)
        first = children.answer(study.digest, asked["pretraining", 1], _never)
        assert children.answer(study.digest, asked["pretraining", 1], _never) == first
    finally:
        children.close()
    assert "update" in first.tensors
    assert any((work / "privacy").iterdir())
    assert any((work / "sent").iterdir())
    assert any(found.suffix == ".answer" for found in work.rglob("*"))
    assert _contents(site.path) == records
    assert {entry.name for entry in (tmp_path / "node").iterdir()} == {"site.toml", "work"}
    gone = frozenset(sorted(read_splits(site))[:1])
    SiteErasure(Place(site, work, site.path.parent), lambda _: None).erase(gone)
    assert not any(found.suffix in {".answer", ".npy"} for found in work.rglob("*"))


def _contents(folder: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.long
def test_a_warm_round_takes_a_fraction_of_a_cold_one(
    study: Any, requests: Requests, children: StudyChildren
) -> None:
    """Cold as where a process is started for each message, which the engine's own client does."""
    children.answer(study.digest, requests["vocabulary", 1], _never)
    cold: list[float] = []
    warm: list[float] = []
    for number in (1, 2):
        for seconds in (cold, warm):
            if seconds is cold:
                children.forget(study.digest)
            began = time.monotonic()
            answer = children.answer(study.digest, requests["finetuning", number], _never)
            assert "update" in answer.tensors
            seconds.append(time.monotonic() - began)
    print(f"cold {min(cold):.2f} s, warm {min(warm):.2f} s")
    assert min(warm) < min(cold) / 3


def test_killed_in_the_middle_of_a_round_it_is_told_and_the_round_can_be_asked_again(
    study: Any, requests: Requests, children: StudyChildren, hospitals: Any, tmp_path: Path
) -> None:
    children.answer(study.digest, requests["vocabulary", 1], _never)
    pid = children.pids[study.digest]
    before = psutil.Process(pid).cpu_times().user
    threading.Thread(target=_kill_at_work, args=(pid, before)).start()
    with pytest.raises(ComputeError, match="SIGKILL"):
        _ask_for_ever(children, study, requests["pretraining", 1])
    answer = children.answer(study.digest, requests["pretraining", 1], _never)
    here = _site_file(hospitals.sites[0], tmp_path / "here")
    assert _timeless(answer) == _timeless(_cold(requests["pretraining", 1], here))


def _ask_for_ever(children: StudyChildren, study: Any, request: Payload) -> None:
    while True:
        children.answer(study.digest, request, _never)


def _kill_at_work(pid: int, before: float) -> None:
    while psutil.Process(pid).cpu_times().user < before + 0.3:
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)


@pytest.mark.long
def test_a_long_round_ends_at_once_when_the_node_must_stop(
    make_study: Any, requests: Requests, children: StudyChildren
) -> None:
    longer = make_study(**ALONE, finetuning={"rounds": 3}, pretraining=LONG)
    work = dict(requests["pretraining", 1].values["work"])
    work |= {"study": longer.to_json(), "work_id": f"{longer.digest}/pretraining/1/1"}
    request = Payload(requests["pretraining", 1].tensors, {"work": work})
    began = time.monotonic()

    def why_stop() -> str | None:
        return "outside its hours" if time.monotonic() > began + 12 else None

    with pytest.raises(BusyError, match="outside its hours"):
        children.answer(longer.digest, request, why_stop)
    assert time.monotonic() - began < 15
    assert children.pids == {}
