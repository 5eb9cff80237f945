"""Rounds answered by a process that kept records and model: the same bits, and none of before."""

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fedehr_client.answers.reply import reply_to
from fedehr_client.answers.warm_study import WarmStudy
from fedehr_client.compute.config import ComputeConfig
from fedehr_client.erasure.place import Place
from fedehr_client.erasure.site import SiteErasure
from fedehr_client.locator import SiteLocation
from fedehr_client.privacy import randomness
from fedehr_shared.meds.reader import read_splits
from fedehr_shared.wire.payload import Payload

COMPUTE = ComputeConfig(device="cpu", num_threads=1, precision="fp32")
ALONE: dict[str, Any] = {"vocabulary": {"min_sites": 1}, "federation": {"min_sites": 1}}
PRIVACY: dict[str, Any] = {
    "mechanism": "local",
    "noise_multiplier": 1.0,
    "target_delta": 1e-5,
    "nominal_subjects": 100,
}
LORA: dict[str, Any] = {"finetuning": {"tuning": "lora"}, "lora": {"rank": 2}}
STUDIES: dict[str, dict[str, Any]] = {
    "full": {"finetuning": {"rounds": 3}, "pretraining": {"private_bias": True}},
    "gradual": {"finetuning": {"tuning": "gradual", "rounds": 4}, "model": {"layers": 2}},
    "lora": LORA,
    "vera": {"finetuning": {"tuning": "lora"}, "lora": {"rank": 2, "variant": "vera"}},
    "folded": {**LORA, "lora": {"rank": 2, "aggregation": "stacking"}},
    "two views": {"objective": {"kind": "contrastive"}, "pretraining": {"rounds": 3}},
    "private": {"privacy": PRIVACY},
    "private lora": {"privacy": PRIVACY, **LORA},
}

Requests = dict[tuple[str, int], Payload]


@pytest.fixture(scope="module")
def requests_of(
    make_study: Any, hospitals: Any, run_study_in_process: Any, tmp_path_factory: Any
) -> Callable[[dict[str, Any]], Requests]:
    """What one site was asked in a whole study."""
    known: dict[str, Requests] = {}

    def requests(changes: dict[str, Any]) -> Requests:
        study = make_study(**ALONE, **changes)
        if study.digest not in known:
            run = run_study_in_process(study, hospitals.sites[:1], tmp_path_factory.mktemp("run"))
            asked = [m for m in run.messages if m.direction == "down"]
            known[study.digest] = {(m.phase, m.round): m.payload for m in asked}
        return known[study.digest]

    return requests


def _location(site: Any, work: Path) -> SiteLocation:
    return SiteLocation(site.name, site, work, 5, COMPUTE)


def _answer(request: Payload, location: SiteLocation, warm: WarmStudy | None) -> Payload:
    payload = reply_to(lambda: request, lambda: location, warm)
    assert "error" not in payload.values
    # What a round took differs however it is answered.
    payload.values.get("metrics", {}).pop("seconds", None)
    return payload


def _known_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same noise in both runs, from a key a kind of thread."""

    def key(size: int) -> bytes:
        is_main = threading.current_thread() is threading.main_thread()
        return hashlib.shake_256(b"%d" % is_main).digest(size)

    fake = SimpleNamespace(urandom=key, getpid=randomness.os.getpid)
    monkeypatch.setattr(randomness, "os", fake)


def _studies() -> list[Any]:
    """The four that differ most in `make test`."""
    often = {"full", "lora", "private", "private lora"}
    marks = {name: () if name in often else pytest.mark.long for name in STUDIES}
    return [pytest.param(name, marks=mark) for name, mark in marks.items()]


@pytest.mark.parametrize("name", _studies())
def test_a_warm_process_answers_bit_for_bit_as_a_cold_one(
    name: str,
    requests_of: Any,
    hospitals: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    requests = requests_of(STUDIES[name])
    _known_keys(monkeypatch)
    cold, warmed = (_location(hospitals.sites[0], tmp_path / kind) for kind in ("cold", "warm"))
    warm = WarmStudy()
    for asked, request in requests.items():
        expected = _answer(request, cold, None)
        assert _answer(request, warmed, warm) == expected, asked
    assert (warm.num_opened, warm.models.num_built) == (1, 2)
    assert [phase for phase, _ in requests].count("finetuning") > 1


def test_what_one_round_drew_privately_the_next_does_not(
    requests_of: Any, hospitals: Any, tmp_path: Path
) -> None:
    """The differential test knows its keys; without, no two draws are alike, warm or not."""
    requests = requests_of(STUDIES["private"])
    warm, updates = WarmStudy(), []
    for kind in ("first", "second"):
        location = _location(hospitals.sites[0], tmp_path / kind)
        updates.append(_answer(requests["pretraining", 1], location, warm).tensors["update"])
    assert updates[0] != updates[1]


def test_another_study_opens_and_builds_its_own(
    requests_of: Any, hospitals: Any, tmp_path: Path
) -> None:
    warm, location = WarmStudy(), _location(hospitals.sites[0], tmp_path)
    for changes in ({}, {"seed": 3}, {}):
        _answer(requests_of(changes)["pretraining", 1], location, warm)
    assert (warm.num_opened, warm.models.num_built) == (3, 3)


@pytest.fixture
def site(copied_hospitals: Any, tmp_path: Path) -> SiteLocation:
    return _location(copied_hospitals.sites[0], tmp_path / "work")


def _erase(site: SiteLocation, subjects: list[int]) -> None:
    place = Place(site.records, site.work, site.records.path.parent)
    SiteErasure(place, lambda _: None).erase(frozenset(subjects))


def test_whoever_was_erased_between_rounds_is_in_no_further_answer(
    requests_of: Any, site: SiteLocation, tmp_path: Path
) -> None:
    requests, warm = requests_of(STUDIES["full"]), WarmStudy()
    for asked in (("pretraining", 1), ("finetuning", 1)):
        _answer(requests[asked], site, warm)
    before = _answer(requests["finetuning", 2], site, warm)
    gone = frozenset(
        sorted(s for s, split in read_splits(site.records).items() if split == "train")[:40]
    )
    SiteErasure(Place(site.records, site.work, site.records.path.parent), lambda _: None).erase(
        gone
    )
    after = _answer(requests["finetuning", 2], site, warm)
    assert after.values["report"] != before.values["report"]
    assert warm.num_opened == 2
    fresh = _location(site.records, tmp_path / "other")
    for asked in (("pretraining", 1), ("finetuning", 1)):
        _answer(requests[asked], fresh, None)
    assert _answer(requests["finetuning", 2], fresh, None).values == after.values


def test_an_idle_process_lets_go_of_records_that_were_erased(
    requests_of: Any, site: SiteLocation
) -> None:
    requests, warm = requests_of(STUDIES["full"]), WarmStudy()
    _answer(requests["pretraining", 1], site, warm)
    store = str(site.work / "tokens")
    assert store in Path("/proc/self/maps").read_text()
    warm.clear_outdated()
    assert store in Path("/proc/self/maps").read_text()
    gone = frozenset(sorted(read_splits(site.records))[:1])
    SiteErasure(Place(site.records, site.work, site.records.path.parent), lambda _: None).erase(
        gone
    )
    warm.clear_outdated()
    assert store not in Path("/proc/self/maps").read_text()


def test_new_labels_are_learnt_from_at_the_next_round(requests_of: Any, site: SiteLocation) -> None:
    requests, warm = requests_of(STUDIES["full"]), WarmStudy()
    _answer(requests["finetuning", 1], site, warm)
    file = site.records.labels_file("death")
    file.unlink()
    after = _answer(requests["finetuning", 2], site, warm)
    assert not any("death" in key for key in after.values["metrics"])
    assert warm.num_opened == 2


def test_a_failure_leaves_nothing_warm(requests_of: Any, site: SiteLocation) -> None:
    requests, warm = requests_of(STUDIES["full"]), WarmStudy()
    _answer(requests["pretraining", 1], site, warm)
    request = requests["pretraining", 2]
    broken = Payload({"model": request.tensors["model"][:-1]}, request.values)
    assert "error" not in reply_to(lambda: request, lambda: site, warm).values
    bad = {**request.values["work"], "vocabulary_digest": "0" * 64}
    lacking = Payload(request.tensors, {**request.values, "work": bad})
    assert (
        reply_to(lambda: lacking, lambda: site, warm).text("error", "code") == "vocabulary_missing"
    )
    assert reply_to(lambda: broken, lambda: site, warm).text("error", "code") == "wire"
    _answer(request, site, warm)
    assert (warm.num_opened, warm.models.num_built) == (2, 2)


def _code(request: Payload, site: SiteLocation, warm: WarmStudy) -> str:
    return reply_to(lambda: request, lambda: site, warm).text("error", "code")
