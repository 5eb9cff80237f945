"""Heads and adapters of a site's own: in training, in evaluation, on the wire and afterwards."""

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedehr_client.answers.reply import reply_to
from fedehr_client.compute.config import ComputeConfig
from fedehr_client.erasure.caches import remove_caches
from fedehr_client.locator import SiteLocation
from fedehr_client.training.local_parts import LocalParts
from fedehr_shared.errors import FedehrError
from fedehr_shared.model.tuning.plan import TuningPlan, is_adapter
from fedehr_shared.wire.codec.record import decode, encode
from fedehr_shared.wire.payload import Payload
from fedehr_simulations.in_process import run_in_process
from fedehr_simulations.outcome.finished_run import predict_held_out
from fedehr_simulations.outcome.held_out import read_held_out
from fedehr_simulations.outcome.predictions import align


def _aurocs(study: Any, sites: list[Any], run: Path, work: Path) -> dict[str, float]:
    """By site, of the predictions made after the run, without its scratch folder."""
    held_out = read_held_out(sites, study.tasks_by_name, study.cohort)
    told = {s.name: predict_held_out(study, run, s, work, records=s) for s in sites}
    scores = align(held_out, told)[:, 0]
    found = {}
    for site in sites:
        own = held_out.sites == site.name
        labels = held_out.labels[own, 0].astype(bool)
        pairs = scores[own][labels][:, None] - scores[own][~labels]
        found[site.name] = float(np.mean((pairs > 0) + 0.5 * (pairs == 0)))
    return found


@pytest.mark.parametrize(
    ("tuning", "parts", "learns"),
    [("full", [], False), ("full", ["heads"], True), ("lora", ["heads"], True)],
)
def test_sites_with_opposite_outcomes_need_heads_of_their_own(  # noqa: PLR0917
    make_opposite_study: Callable[..., Any],
    opposite_sites: list[Any],
    tmp_path: Path,
    tuning: str,
    parts: list[str],
    learns: bool,
) -> None:
    study = make_opposite_study(tuning=tuning, local_parts=parts)
    run_in_process(study, opposite_sites, tmp_path / "run", tmp_path / "work", num_threads=1)
    shutil.rmtree(tmp_path / "work")
    found = _aurocs(study, opposite_sites, tmp_path / "run", tmp_path / "scratch")
    if learns:
        assert min(found.values()) > 0.95
    else:
        assert min(found.values()) < 0.6
    # What the sites themselves told is of the same parts.
    evaluation = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    for site, auroc in found.items():
        told = evaluation["death"]["per_site"][site]["auroc"]["value"]
        assert told == pytest.approx(auroc, abs=0.01)


def _vocabulary(run: Any) -> str:
    asked = next(m for m in run.messages if (m.direction, m.phase) == ("down", "evaluation"))
    return str(asked.payload.text("work", "vocabulary_digest"))


@pytest.fixture(scope="module")
def local_run(
    make_opposite_study: Callable[..., Any],
    opposite_sites: list[Any],
    run_study_in_process: Any,
    tmp_path_factory: Any,
) -> Callable[[str], tuple[Any, Any]]:
    """A finished study with heads, or with adapters, of the sites' own; and the study."""
    done: dict[str, tuple[Any, Any]] = {}

    def run(part: str) -> tuple[Any, Any]:
        if part not in done:
            study = make_opposite_study(rounds=3, tuning="lora", local_parts=[part])
            folder = tmp_path_factory.mktemp(part)
            done[part] = (run_study_in_process(study, opposite_sites, folder), study)
        return done[part]

    return run


@pytest.mark.parametrize("part", ["heads", "adapters"])
def test_no_round_carries_what_is_local_and_its_first_values_come_once(
    local_run: Callable[[str], tuple[Any, Any]], part: str
) -> None:
    run, study = local_run(part)
    plan = TuningPlan.of(study)
    by_record: dict[tuple[str, str, int], set[str]] = {}
    for sent in run.messages:
        for record, data in sent.payload.tensors.items():
            by_record[record, sent.phase, sent.round] = set(decode(data))
    carried = {n for (record, _, _), ns in by_record.items() for n in ns if record != "base"}
    assert carried
    assert not any(plan.is_local(name) for name in carried)
    with_base = {key: names for key, names in by_record.items() if key[0] == "base"}
    assert [key[1:] for key in with_base] == [("finetuning", 1)]
    first = {name for names in with_base.values() for name in names if plan.is_local(name)}
    assert first == {n for n in run.latest_weights if is_adapter(n) == (part == "adapters")} & first
    assert first


@pytest.mark.parametrize("part", ["heads", "adapters"])
def test_each_site_keeps_parts_of_its_own_for_scoring(
    local_run: Callable[[str], tuple[Any, Any]], opposite_sites: list[Any], part: str
) -> None:
    run, study = local_run(part)
    vocabulary = _vocabulary(run)
    received = run.latest_weights
    own = [
        LocalParts(run.work / site.name, study, vocabulary).final(received)
        for site in opposite_sites
    ]
    plan = TuningPlan.of(study)
    for name, value in received.items():
        moved = [not np.array_equal(weights[name], value) for weights in own]
        assert moved == [plan.is_local(name)] * 2, name
        if plan.is_local(name):
            assert not np.array_equal(own[0][name], own[1][name])


def test_an_answer_that_holds_local_parts_is_refused(
    make_opposite_study: Callable[..., Any],
    opposite_sites: list[Any],
    run_study_in_process: Any,
    tmp_path: Path,
) -> None:
    def alter(sent: Any) -> list[Any]:
        if sent.phase != "finetuning" or sent.node != 1:
            return [sent.payload]
        update = decode(sent.payload.tensors["update"])
        update["heads.0.bias"] = np.zeros(1, np.float32)
        tensors = {**sent.payload.tensors, "update": encode(update, "fp16")}
        return [Payload(tensors=tensors, values=sent.payload.values)]

    study = make_opposite_study(rounds=1, local_parts=["heads"])
    with pytest.raises(FedehrError):
        run_study_in_process(study, opposite_sites, tmp_path, alter=alter)
    lines = (tmp_path / "run" / "progress.jsonl").read_text().splitlines()
    errors = [e for e in map(json.loads, lines) if e["event"] == "site_error"]
    assert {(e["phase"], e["code"]) for e in errors} == {("finetuning", "wire")}


def test_a_round_that_is_asked_for_again_starts_where_it_started(
    make_opposite_study: Callable[..., Any],
    opposite_sites: list[Any],
    run_study_in_process: Any,
    new_run: Any,
    tmp_path: Path,
) -> None:
    study = make_opposite_study(rounds=3, local_parts=["heads"])
    done = new_run(tmp_path / "run", tmp_path / "work")
    site = opposite_sites[0]
    location = SiteLocation(
        site.name,
        site,
        tmp_path / "work" / site.name,
        5,
        ComputeConfig(device="cpu", num_threads=1),
    )
    compared = []

    def alter(sent: Any) -> list[Any]:
        if sent.node == 0 and sent.phase in {"finetuning", "evaluation"}:
            asked = next(m for m in reversed(done.messages) if m.direction == "down" and not m.node)
            again = reply_to(lambda: asked.payload, lambda: location)
            assert again.tensors == sent.payload.tensors
            told, repeated = (p.values["metrics"] for p in (sent.payload, again))
            assert {**told, "seconds": 0} == {**repeated, "seconds": 0}
            compared.append(sent.phase)
        return [sent.payload]

    run_study_in_process(study, opposite_sites, tmp_path, alter=alter, into=done)
    assert compared == ["finetuning"] * 3 + ["evaluation"]


def test_a_site_that_lost_its_parts_says_so_and_begins_anew(
    local_run: Callable[[str], tuple[Any, Any]],
    opposite_sites: list[Any],
    run_study_in_process: Any,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    undisturbed, study = local_run("heads")

    def alter(sent: Any) -> list[Any]:
        # The south's answer of the second round; the north answered before.
        if (sent.phase, sent.round, sent.node) == ("finetuning", 2, 1):
            shutil.rmtree(tmp_path / "work" / "north" / "local_rounds")
        return [sent.payload]

    with caplog.at_level(logging.WARNING, logger="fedehr.client"):
        run = run_study_in_process(study, opposite_sites, tmp_path, alter=alter)
    assert sum("starts afresh" in record.getMessage() for record in caplog.records) == 1
    assert run.result["sites"] == ["north", "south"]
    before, after = undisturbed.latest_weights, run.latest_weights
    assert any(not np.array_equal(before[name], after[name]) for name in before)


def test_a_study_that_is_run_again_begins_its_local_parts_anew(
    local_run: Callable[[str], tuple[Any, Any]],
    opposite_sites: list[Any],
    run_study_in_process: Any,
    tmp_path: Path,
) -> None:
    first, study = local_run("heads")
    shutil.copytree(first.work, tmp_path / "work")
    again = run_study_in_process(study, opposite_sites, tmp_path)
    before, after = first.latest_weights, again.latest_weights
    assert {n: w.tobytes() for n, w in before.items()} == {n: w.tobytes() for n, w in after.items()}
    told = [(run.folder / "evaluation.json").read_text() for run in (first, again)]
    assert told[0] == told[1]


def test_an_erasure_takes_local_parts_with_it_and_other_studies_do_not(
    local_run: Callable[[str], tuple[Any, Any]],
    make_opposite_study: Callable[..., Any],
    opposite_sites: list[Any],
    tmp_path: Path,
) -> None:
    run, study = local_run("heads")
    work = tmp_path / "north"
    shutil.copytree(run.work / "north", work)
    vocabulary = _vocabulary(run)
    own = LocalParts(work, study, vocabulary).final({})
    assert own
    plan = TuningPlan.of(study)
    for number in range(6):
        later = make_opposite_study(rounds=1, local_parts=["heads"], dropout=number / 100)
        parts = LocalParts(work, later, vocabulary)
        parts.keep(1, own, {name: np.ones_like(value) for name, value in own.items()})
        parts.keep_final()
        assert all(plan.is_local(name) for name in parts.final({}))
    kept = LocalParts(work, study, vocabulary).final({})
    assert all(np.array_equal(kept[name], value) for name, value in own.items())
    # Those of rounds are there for studies that go on, and only for the latest.
    assert len(list((work / "local_rounds").iterdir())) == 4
    remove_caches(work)
    assert LocalParts(work, study, vocabulary).final({}) == {}
    assert not list(work.rglob("*.safetensors"))
