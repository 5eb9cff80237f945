"""Studies of each kind: nothing in an answer that the table of disclosures lacks."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fedehr_client.answers import reply
from fedehr_client.answers.reply import reply_to
from fedehr_server.progress import describe_training
from fedehr_shared.errors import ConfigError
from fedehr_shared.meds.folder import FederationFolder
from fedehr_shared.privacy.disclosures import DISCLOSURES
from fedehr_shared.privacy.key_patterns import KeyPatterns
from fedehr_shared.wire.codec.record import decode
from fedehr_shared.wire.payload import Payload
from fedehr_shared.wire.reports import ErrorReport
from fedehr_shared.wire.work import Work
from fedehr_simulations.hospitals.further_outcomes import DEATH_TIME, FURTHER_TASKS

LOCAL = {
    "mechanism": "local", "noise_multiplier": 1.0, "target_delta": 1e-4, "nominal_subjects": 200,
    "pretraining": {"sample_rate": 0.3}, "finetuning": {"sample_rate": 0.3},
}  # fmt: skip
NOISY = {"min_cell": 2, "noise_epsilon": 50.0, "noise_delta": 1e-6}
KINDS: dict[str, dict[str, Any]] = {
    "plain": {"vocabulary": {"min_cell": 2}},
    "local": {"privacy": LOCAL, "vocabulary": {"min_cell": 2}},
    "withheld": {"privacy": {**LOCAL, "metrics": "withheld"}, "vocabulary": {"min_cell": 2}},
    "lora": {
        "finetuning": {"tuning": "lora"}, "lora": {"rank": 2, "aggregation": "reprojection"},
        "exchange": {"dtype": "int8"},
    },
    "private lora": {
        "finetuning": {"tuning": "lora"}, "lora": {"rank": 2},
        "privacy": {**LOCAL, "clipping_quantile": 0.5, "phases": ["finetuning"]},
    },
    "multitask": {
        "vocabulary": {"min_cell": 2},
        "loss": {"task_weights": "dynamic", "class_weights": "balanced"},
        "finetuning": {"tasks": ["death", *FURTHER_TASKS]},
        "tasks": {name: task.model_dump() for name, task in FURTHER_TASKS.items()},
        "evaluation": {"subgroups": ["sex", "age"]},
    },
    "calibrated": {"vocabulary": {"min_cell": 2}, "evaluation": {"calibration": "platt"}},
    "noisy vocabulary": {"vocabulary": NOISY, "pretraining": {"rounds": 0}},
}  # fmt: skip
TOLD = {(phase, one.record, key) for one in DISCLOSURES for key in one.keys for phase in one.phases}


def _names(payload: Payload) -> Iterator[tuple[str, str]]:
    for record, encoded in payload.tensors.items():
        yield from ((record, name) for name in decode(encoded))
    for record, values in payload.values.items():
        yield from ((record, key) for key in values)


@pytest.fixture(scope="module", params=KINDS)
def study_run(
    request: pytest.FixtureRequest,
    make_study: Callable[..., Any],
    hospitals: Any,
    run_study_in_process: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[str, Any, Any]:
    """A kind's name, its study and its run, in which a site fails once."""

    def lapse(sent: Any) -> list[Any]:
        if (sent.phase, sent.round, sent.node, sent.attempt) == ("finetuning", 1, 1, 1):
            failed = ErrorReport("failed", "0123456789abcdef").to_payload()
            run_errors.append(replace(sent, payload=failed))
            return [failed]
        return [sent.payload]

    run_errors: list[Any] = []
    study = make_study(**KINDS[request.param])
    folder = tmp_path_factory.mktemp("disclosed")
    shutil.copytree(hospitals.path, folder / "hospitals")
    sites = FederationFolder(folder / "hospitals").sites
    # Not every site has labels of every task.
    sites[1].labels_file(DEATH_TIME).unlink()
    run = run_study_in_process(study, sites, folder, alter=lapse)
    run.messages += run_errors
    return request.param, study, run


def test_no_answer_holds_what_the_table_lacks(study_run: tuple[str, Any, Any]) -> None:
    name, study, run = study_run
    table = KeyPatterns(study)
    seen: set[str] = set()
    answers = [message for message in run.messages if message.direction == "up"]
    for message in answers:
        for record, key in _names(message.payload):
            found = table.find(message.phase, record, key)
            assert found is not None, f"{message.phase}: {record}.{key} is not in the table"
            seen |= {record}
    assert {"report", "error", "update", "metrics", "codes", "labels"} <= seen, name
    assert any(record.startswith("scores.") for record in seen)


def test_what_is_withheld_is_in_no_answer_and_no_file(study_run: tuple[str, Any, Any]) -> None:
    name, _, run = study_run
    trained = [
        message.payload
        for message in run.messages
        if message.direction == "up"
        and message.phase in {"pretraining", "finetuning"}
        and "update" in message.payload.tensors
    ]
    told = {names for payload in trained for names in _names(payload) if names[0] != "update"}
    told = {names for names in told if names[0] != "moments"}
    if name != "withheld":
        assert {("report", "loss"), ("report", "num_examples"), ("metrics", "seconds")} <= told
        return
    assert told == {("report", "site"), ("report", "num_steps"), ("metrics", "learning_rate")}
    assert run.result["status"] == "completed"
    assert run.result["pretraining_loss"] == [None, None]
    text = (run.folder / "progress.jsonl").read_text()
    rounds = [json.loads(line) for line in text.splitlines() if '"event": "round"' in line]
    assert all(event["loss"] is None for event in rounds)
    assert all(not any((event["auroc"] or {}).values()) for event in rounds)
    words = " ".join(
        word
        for event in rounds
        if event["phase"] == "pretraining"
        for word in describe_training(event)
    )
    assert "step(s)" in words
    assert "loss" not in words
    assert "gradient" not in words
    assert "lr " in words
    done = [site for event in rounds for site in (event.get("sites") or {}).values()]
    assert {key for site in done for key in site} == {"num_steps", "learning_rate"}
    assert not any(run.result["back_off"][site]["exact"] for site in run.result["sites"])


def test_a_private_loss_has_two_digits(study_run: tuple[str, Any, Any]) -> None:
    name, study, run = study_run
    for message in run.messages:
        values = message.payload.values.get("report", {})
        if message.direction == "up" and "loss" in values:
            coarse = float(f"{values['loss']:.2g}") == values["loss"]
            assert coarse == study.privacy.is_private(message.phase), (name, message.phase)


def test_a_private_loss_of_few_is_not_told(
    make_study: Callable[..., Any], hospitals: Any, run_study_in_process: Any, tmp_path: Path
) -> None:
    """At this rate two steps see 4 of the smallest site's subjects at most, as expected."""
    rates = {"pretraining": {"sample_rate": 0.1}, "finetuning": {"sample_rate": 0.1}}
    study = make_study(privacy={**LOCAL, **rates}, finetuning={"rounds": 0})
    run = run_study_in_process(study, hospitals.sites, tmp_path)
    told = {
        node: ["loss" in m.payload.values["report"] for m in run.messages if _trained(m, node)]
        for node in range(3)
    }
    assert told == {0: [True, True], 1: [True, True], 2: [False, False]}
    assert all(loss is not None for loss in run.result["pretraining_loss"])


def _trained(message: Any, node: int) -> bool:
    return (message.phase, message.direction, message.node) == ("pretraining", "up", node)


def test_withheld_studies_weigh_sites_by_what_they_declared(
    make_study: Callable[..., Any], hospitals: Any, run_study_in_process: Any, tmp_path: Path
) -> None:
    """The mean of the updates, taken apart from the messages alone."""
    import numpy as np

    from fedehr_server.checkpoint import CheckpointFolder, load_weights

    study = make_study(
        privacy={**LOCAL, "metrics": "withheld"},
        pretraining={"rounds": 1},
        finetuning={"rounds": 0},
        exchange={"dtype": "fp32"},
    )
    run = run_study_in_process(study, hospitals.sites, tmp_path)
    up = [m for m in run.messages if m.direction == "up"]
    declared = {
        m.node: m.payload.integer("report", "num_subjects") for m in up if m.phase == "vocabulary"
    }
    updates = {m.node: decode(m.payload.tensors["update"]) for m in up if m.phase == "pretraining"}
    before = next(
        decode(m.payload.tensors["model"])
        for m in run.messages
        if (m.phase, m.direction) == ("pretraining", "down")
    )
    after = load_weights(CheckpointFolder(run.folder / "checkpoints").latest("pretraining"))
    total = sum(declared.values())
    assert len(set(declared.values())) == 3
    for name, weights in before.items():
        mean = sum(declared[node] / total * update[name] for node, update in updates.items())
        np.testing.assert_allclose(after[name], weights + mean, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"loss": {"task_weights": "dynamic"}}, "task_weights"),
        ({"evaluation": {"calibration": "platt"}}, "calibration"),
    ],
)
def test_what_needs_the_withheld_is_refused(
    make_study: Callable[..., Any], changes: dict[str, Any], fault: str
) -> None:
    with pytest.raises((ConfigError, ValueError), match=f"{fault}.*withheld|withheld.*{fault}"):
        make_study(privacy={**LOCAL, "metrics": "withheld"}, **changes)


def test_a_number_that_the_table_lacks_is_not_sent(
    finished_study: Any,
    hospitals: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A fault in our own code: one more number in the report."""
    request = next(m.payload for m in finished_study.messages if m.phase == "pretraining")
    answer = next(
        m.payload
        for m in finished_study.messages
        if (m.phase, m.direction) == ("pretraining", "up")
    )
    more = {**answer.values, "metrics": {**answer.values["metrics"], "oldest_age_years": 4711.5}}

    def faulty(work: Work, location: Any, _: Any) -> Payload:
        return Payload(answer.tensors, more)

    monkeypatch.setattr(reply, "answer", faulty)
    sent = reply_to(lambda: request, lambda: hospitals.sites[0])
    assert set(sent.values) == {"error"}
    assert sent.tensors == {}
    assert sent.text("error", "code") == "wire"
    assert "metrics.oldest_age_years" in caplog.text
    assert "4711" not in caplog.text
    monkeypatch.setattr(reply, "answer", lambda work, location, _: answer)
    assert reply_to(lambda: request, lambda: hospitals.sites[0]) == answer
