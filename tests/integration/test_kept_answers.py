"""Private rounds at one site: charged before they train, answered once, killed anywhere."""

import hashlib
import multiprocessing
import os
import pickle
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedehr_client.answers.reply import reply_to
from fedehr_client.compute.config import ComputeConfig
from fedehr_client.erasure.caches import find_caches, remove_caches
from fedehr_client.ledger.ceiling import Ceiling
from fedehr_client.ledger.entry import Noted, Reserved
from fedehr_client.ledger.ledger import Ledger
from fedehr_client.locator import SiteLocation
from fedehr_shared.errors import BudgetError
from fedehr_shared.wire.payload import Payload
from fedehr_shared.wire.work import Work

COMPUTE = ComputeConfig(device="cpu", num_threads=1, precision="fp32")
PRIVACY: dict[str, Any] = {
    "mechanism": "local",
    "noise_multiplier": 1.0,
    "target_delta": 1e-5,
    "nominal_subjects": 100,
}
WITH_STATE: dict[str, Any] = {
    "exchange": {"dtype": "int8"},
    "pretraining": {"optimizer_state": "kept"},
    "finetuning": {"tuning": "full", "optimizer_state": "kept", "local_parts": ["heads"]},
}
PLAIN: dict[str, Any] = {}


@dataclass
class Site:
    """One site that is asked what a coordinator asked in a whole study."""

    location: SiteLocation
    requests: dict[tuple[str, int], Payload]

    def ask(self, phase: str, number: int, *, attempt: int = 1) -> Payload:
        return self.answer(_numbered(self.requests[phase, number], attempt))

    def answer(self, request: Payload) -> Payload:
        return reply_to(lambda: request, lambda: self.location)

    @property
    def charged(self) -> list[tuple[str, int]]:
        ledger = Ledger(self.location.work, self.location.ceiling, self.location.name)
        return [(e.phase, e.round) for e in ledger.entries() if isinstance(e, Reserved)]

    @property
    def kept(self) -> list[str]:
        return sorted(file.stem for file in self.location.work.glob("answers/*/*.answer"))

    def state(self) -> dict[str, str]:
        """Digests of all files that the site keeps, locks aside."""
        work = self.location.work
        files = [file for file in work.rglob("*") if file.is_file() and file.suffix != ".lock"]
        return {
            str(file.relative_to(work)): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in files
        }


def _numbered(request: Payload, attempt: int) -> Payload:
    work = dict(request.values["work"])
    work["work_id"] = f"{str(work['work_id']).rpartition('/')[0]}/{attempt}"
    return Payload(request.tensors, {**request.values, "work": work})


@pytest.fixture(scope="module")
def requests_of(
    make_study: Any, hospitals: Any, run_study_in_process: Any, tmp_path_factory: Any
) -> Callable[..., dict[tuple[str, int], Payload]]:
    """What one site was asked in a whole study."""
    known: dict[str, dict[tuple[str, int], Payload]] = {}

    def requests(changes: dict[str, Any]) -> dict[tuple[str, int], Payload]:
        alone: dict[str, Any] = {"vocabulary": {"min_sites": 1}, "federation": {"min_sites": 1}}
        study = make_study(privacy=PRIVACY, **alone, **changes)
        if study.digest not in known:
            run = run_study_in_process(study, hospitals.sites[:1], tmp_path_factory.mktemp("run"))
            asked = [m for m in run.messages if m.direction == "down"]
            known[study.digest] = {(m.phase, m.round): m.payload for m in asked}
        return known[study.digest]

    return requests


@pytest.fixture
def make_site(requests_of: Any, hospitals: Any, tmp_path: Path) -> Callable[..., Site]:
    def make(changes: dict[str, Any], ceiling: Ceiling | None = None) -> Site:
        records = hospitals.sites[0]
        location = SiteLocation(
            records.name, records, tmp_path / "work", 5, COMPUTE, ceiling or Ceiling()
        )
        return Site(location, requests_of(changes))

    return make


@pytest.mark.parametrize("changes", [PLAIN, WITH_STATE], ids=["plain", "with_state"])
def test_an_answer_asked_again_is_the_same_bytes_and_costs_nothing(
    changes: dict[str, Any], make_site: Any
) -> None:
    site = make_site(changes)
    rounds = [("pretraining", 1), ("pretraining", 2), ("finetuning", 1), ("finetuning", 2)]
    site.ask("vocabulary", 1)
    for number, asked in enumerate(rounds, start=1):
        first = site.ask(*asked)
        assert "update" in first.tensors
        left = site.state()
        assert site.ask(*asked, attempt=2) == first
        assert site.state() == left
        assert site.charged == rounds[:number]
        assert site.kept == [f"{asked[0]}-{asked[1]:05d}"]
    assert "metrics" in site.ask("evaluation", 1).values
    assert site.kept == []
    ends = [e.event for e in _entries(site) if isinstance(e, Noted)]
    assert ends == ["begin", "end"]


def _entries(site: Site) -> Any:
    return Ledger(site.location.work, site.location.ceiling, site.location.name).entries()


def test_other_weights_are_a_draw_of_their_own(make_site: Any) -> None:
    site = make_site(PLAIN)
    site.ask("vocabulary", 1)
    first = site.ask("pretraining", 1)
    work = Work.from_payload(site.requests["pretraining", 1])
    assert work.model is not None
    moved = {name: value + np.float32(1e-3) for name, value in work.model.items()}
    other = site.answer(replace(work, model=moved).to_payload())
    assert other.tensors["update"] != first.tensors["update"]
    assert site.charged == [("pretraining", 1)] * 2
    # The first answer is gone: the same weights again are a third draw.
    again = site.ask("pretraining", 1)
    assert again.tensors["update"] not in {first.tensors["update"], other.tensors["update"]}
    assert site.charged == [("pretraining", 1)] * 3


@pytest.mark.parametrize("changes", [PLAIN, WITH_STATE], ids=["plain", "with_state"])
def test_a_study_that_is_run_again_gets_what_was_drawn_where_nothing_else_is_missing(
    changes: dict[str, Any], make_site: Any
) -> None:
    """A run was broken off in its first round; the next one asks with the same weights."""
    site = make_site(changes)
    site.ask("vocabulary", 1)
    first = site.ask("pretraining", 1)
    site.ask("vocabulary", 1)
    again = site.ask("pretraining", 1)
    # What the round left beside its answer went with the first run.
    lost = changes is WITH_STATE
    assert (again == first) is not lost
    assert site.charged == [("pretraining", 1)] * (2 if lost else 1)


def test_a_damaged_answer_is_not_sent(make_site: Any) -> None:
    site = make_site(PLAIN)
    first = site.ask("pretraining", 1)
    (file,) = site.location.work.glob("answers/*/*.answer")
    content = bytearray(file.read_bytes())
    assert file.stat().st_mode & 0o077 == 0
    content[-1] ^= 1
    file.write_bytes(content)
    again = site.ask("pretraining", 1)
    assert again.tensors["update"] != first.tensors["update"]
    assert site.charged == [("pretraining", 1)] * 2


def test_an_erasure_takes_the_kept_answer_too(make_site: Any) -> None:
    site = make_site(WITH_STATE)
    first = site.ask("pretraining", 1)
    assert any(path.suffix == ".answer" for path in find_caches(site.location.work))
    charged = site.charged
    remove_caches(site.location.work)
    assert site.kept == []
    assert site.charged == charged
    assert site.ask("pretraining", 1).tensors["update"] != first.tensors["update"]
    assert site.charged == 2 * charged


def test_a_site_with_another_floor_since_does_not_send_the_old_answer(make_site: Any) -> None:
    site = make_site(PLAIN)
    first = site.ask("pretraining", 1)
    site.location = replace(site.location, min_cell=4)
    assert site.ask("pretraining", 1) != first
    assert len(site.charged) == 2


def test_only_the_latest_studies_answers_are_kept(make_site: Any) -> None:
    site = make_site(PLAIN)
    work = Work.from_payload(site.requests["pretraining", 1])
    for seed in range(6):
        study = work.study.with_seed(seed + 1)
        other = replace(work, id=replace(work.id, digest=study.digest), study=study)
        assert "update" in site.answer(other.to_payload()).tensors
    assert len(site.kept) == 4
    assert len(site.charged) == 6


def test_a_study_over_the_ceiling_is_refused_before_any_work(make_site: Any) -> None:
    site = make_site(PLAIN, Ceiling(subject_epsilon=0.5))
    assert site.ask("vocabulary", 1).values["error"]["code"] == "budget"
    assert site.state() == {}
    # A coordinator that leaves out the first phase gets no further.
    assert site.ask("pretraining", 1).values["error"]["code"] == "budget"
    assert site.charged == []
    assert site.kept == []


def test_the_coordinator_ends_a_study_that_every_site_refuses(
    make_study: Any, hospitals: Any, run_study_in_process: Any, tmp_path: Path
) -> None:
    study = make_study(privacy=PRIVACY)
    with pytest.raises(BudgetError):
        run_study_in_process(study, hospitals.sites[:2], tmp_path, ceiling=Ceiling(0.5))
    assert not list((tmp_path / "work").rglob("*"))


def test_required_privacy_refuses_a_study_with_a_phase_without_noise(
    make_study: Any, make_site: Any
) -> None:
    site = make_site(PLAIN, Ceiling(require_privacy=True))
    assert "error" not in site.ask("vocabulary", 1).values
    work = Work.from_payload(site.requests["vocabulary", 1])
    for privacy in ({}, {**PRIVACY, "phases": ["finetuning"]}):
        study = make_study(privacy=privacy)
        other = replace(work, id=replace(work.id, digest=study.digest), study=study)
        assert site.answer(other.to_payload()).values["error"]["code"] == "policy"


def test_training_without_noise_is_written_down_and_costs_nothing(
    make_study: Any, hospitals: Any, run_study_in_process: Any, tmp_path: Path
) -> None:
    study = make_study(vocabulary={"min_sites": 1}, federation={"min_sites": 1})
    run = run_study_in_process(study, hospitals.sites[:1], tmp_path)
    (work,) = run.work.iterdir()
    entries = Ledger(work, Ceiling(), "any").entries()
    notes = [(e.event, e.phase) for e in entries if isinstance(e, Noted)]
    assert notes == [("unprotected", "pretraining"), ("unprotected", "finetuning")]
    assert Ledger(work, Ceiling(), "any").spent() == 0


@pytest.mark.parametrize("changes", [PLAIN, WITH_STATE], ids=["plain", "with_state"])
def test_a_full_disk_charges_nothing_however_often_it_is_asked(
    changes: dict[str, Any],
    make_site: Any,
    small_disk: Callable[[int], Path],
    fill_disk: Callable[..., Path],
) -> None:
    """The ledger's line would have found room, and the answer would not."""
    site, disk = make_site(changes), small_disk(16 * 2**20)
    site.location = replace(site.location, work=disk / "work")
    site.ask("vocabulary", 1)
    filler = fill_disk(disk, left=2**16)
    for _ in range(3):
        assert site.ask("pretraining", 1).text("error", "code") == "storage"
    assert site.charged == []
    filler.unlink()
    assert "update" in site.ask("pretraining", 1).tensors
    assert site.charged == [("pretraining", 1)]


def test_a_full_disk_charges_no_vocabulary(
    make_study: Any,
    make_site: Any,
    small_disk: Callable[[int], Path],
    fill_disk: Callable[..., Path],
) -> None:
    site, disk = make_site(PLAIN), small_disk(16 * 2**20)
    site.location = replace(site.location, work=disk / "work")
    site.location.work.mkdir()
    work = Work.from_payload(site.requests["vocabulary", 1])
    study = make_study(vocabulary={"noise_epsilon": 50.0, "noise_delta": 1e-6})
    noisy = replace(work, id=replace(work.id, digest=study.digest), study=study).to_payload()
    filler = fill_disk(disk, left=2**14)
    for _ in range(3):
        assert site.answer(noisy).text("error", "code") == "storage"
    assert site.charged == []
    filler.unlink()
    assert "report" in site.answer(noisy).values
    assert site.charged == [("vocabulary", 1)]


LONG: dict[str, Any] = {"pretraining": {"rounds": 1, "steps_per_round": 60}}


def _answer_in_child(location: SiteLocation, request: bytes, told: Path) -> None:
    payload = pickle.loads(request)
    answer = reply_to(lambda: payload, lambda: location)
    partial = told.with_suffix(".partial")
    partial.write_bytes(pickle.dumps(answer))
    partial.replace(told)
    time.sleep(600)


def _killed_when(site: Site, told: Path, is_time: Callable[[], bool]) -> None:
    """Ask in a process of its own, and kill it without warning."""
    request = pickle.dumps(site.requests["pretraining", 1])
    child = multiprocessing.get_context("spawn").Process(
        target=_answer_in_child, args=(site.location, request, told)
    )
    child.start()
    assert child.pid is not None
    deadline = time.monotonic() + 120
    while not is_time():
        assert time.monotonic() < deadline
        assert child.is_alive()
        time.sleep(0.002)
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    assert child.exitcode == -signal.SIGKILL


def test_a_site_killed_after_it_reserved_has_paid_and_draws_anew(
    make_site: Any, tmp_path: Path
) -> None:
    site, told = make_site(LONG), tmp_path / "told"
    file = site.location.work / "privacy" / "ledger.jsonl"
    _killed_when(site, told, lambda: file.exists() and b'"reserve"' in file.read_bytes())
    assert not told.exists()
    assert site.kept == []
    assert site.charged == [("pretraining", 1)]
    assert "update" in site.ask("pretraining", 1, attempt=2).tensors
    assert site.charged == [("pretraining", 1)] * 2


def test_a_site_killed_after_it_answered_sends_the_same_answer_again(
    make_site: Any, tmp_path: Path
) -> None:
    site, told = make_site(WITH_STATE), tmp_path / "told"
    _killed_when(site, told, told.exists)
    before = pickle.loads(told.read_bytes())
    assert site.ask("pretraining", 1, attempt=2) == before
    assert site.charged == [("pretraining", 1)]
