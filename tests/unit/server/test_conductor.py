"""The coordinator against recorded answers that come late, twice, changed or not at all."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedehr_server.rounds.machine import WAITING_CODES
from fedehr_shared.errors import ERROR_CODES, DataError, DeadlineError, FedehrError, WireError
from fedehr_shared.wire.payload import Payload
from fedehr_shared.wire.reports import ErrorReport

Alter = Callable[[Any], list[Any]]
Change = Callable[[Payload], Any]


def _bits(weights: dict[str, Any]) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in weights.items()}


def _events(folder: Path, kind: str) -> list[dict[str, Any]]:
    lines = (folder / "progress.jsonl").read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == kind]


def _result(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return content


def _at(phase: str, number: int, node: int, change: Change) -> Alter:
    """Change what one node answers in one round, at every attempt."""

    def alter(sent: Any) -> list[Any]:
        if (sent.phase, sent.round, sent.node) == (phase, number, node):
            return [change(sent.payload)]
        return [sent.payload]

    return alter


def test_recorded_answers_give_the_recorded_weights(
    make_study: Any, replay_study: Any, finished_study: Any, tmp_path: Path
) -> None:
    done = replay_study(make_study(), tmp_path / "run")
    assert _bits(done.latest_weights) == _bits(finished_study.latest_weights)
    assert _result(tmp_path / "run")["status"] == "completed"


@pytest.mark.parametrize("seed", range(4))
def test_the_order_of_arrival_changes_no_bit(
    make_study: Any, replay_study: Any, finished_study: Any, tmp_path: Path, seed: int
) -> None:
    done = replay_study(make_study(), tmp_path / "run", seed=seed)
    assert _bits(done.latest_weights) == _bits(finished_study.latest_weights)
    for name in ("vocabulary.json", "evaluation.json"):
        ours, theirs = done.folder / name, finished_study.folder / name
        assert ours.read_text() == theirs.read_text()


def test_an_answer_that_comes_twice_counts_once(
    make_study: Any, replay_study: Any, finished_study: Any, tmp_path: Path
) -> None:
    def twice(sent: Any) -> list[Any]:
        return [sent.payload, sent.payload]

    done = replay_study(make_study(), tmp_path / "run", alter=twice, seed=1)
    assert _bits(done.latest_weights) == _bits(finished_study.latest_weights)
    assert {event["num_answers"] for event in _events(tmp_path / "run", "round")} == {3}
    assert _events(tmp_path / "run", "site_error") == []


def test_an_excluded_site_that_answers_after_all_is_not_counted(
    make_study: Any, replay_study: Any, tmp_path: Path
) -> None:
    def alter(sent: Any) -> list[Any]:
        if (sent.phase, sent.node) == ("pretraining", 2):
            return [ErrorReport("policy", "r").to_payload(), sent.payload]
        return [sent.payload]

    done = replay_study(make_study(), tmp_path / "run", alter=alter)
    assert done.result["sites"] == ["hospital-1", "hospital-2"]
    assert not any(m.node == 2 and m.phase != "vocabulary" for m in done.messages[6:])


def test_a_dropped_answer_is_missing_by_the_deadline_and_the_site_goes_on(
    make_study: Any, replay_study: Any, tmp_path: Path
) -> None:
    def drop(sent: Any) -> list[Any]:
        return (
            [] if (sent.phase, sent.round, sent.node) == ("pretraining", 1, 1) else [sent.payload]
        )

    study = make_study(federation={"round_deadline_seconds": 1.0})
    replay_study(study, tmp_path / "run", alter=drop)
    rounds = {(e["phase"], e["round"]): e for e in _events(tmp_path / "run", "round")}
    assert rounds["pretraining", 1]["missing"] == ["hospital-2: deadline"]
    assert rounds["pretraining", 1]["num_answers"] == 2
    assert rounds["pretraining", 2]["num_answers"] == 3
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["missing"] == [
        {"phase": "pretraining", "round": 1, "site": "hospital-2: deadline"}
    ]


def test_a_node_that_is_gone_is_asked_again_then_missing(
    make_study: Any, replay_study: Any, tmp_path: Path
) -> None:
    alter = _at("finetuning", 1, 2, lambda payload: None)
    done = replay_study(make_study(), tmp_path / "run", alter=alter)
    asked = [
        m.attempt
        for m in done.messages
        if (m.direction, m.phase, m.round, m.node) == ("down", "finetuning", 1, 2)
    ]
    assert asked == [1, 2, 3]
    assert [e["code"] for e in _events(done.folder, "site_error")] == ["network"] * 3


def test_a_second_attempt_carries_the_vocabulary_and_is_enough(
    make_study: Any, replay_study: Any, finished_study: Any, tmp_path: Path
) -> None:
    def alter(sent: Any) -> list[Any]:
        if (sent.phase, sent.round, sent.node, sent.attempt) == ("pretraining", 2, 0, 1):
            return [ErrorReport("vocabulary_missing", "r").to_payload()]
        return [sent.payload]

    done = replay_study(make_study(), tmp_path / "run", alter=alter)
    asked = [m for m in done.messages if (m.phase, m.round, m.node) == ("pretraining", 2, 0)]
    given = ["vocabulary" in m.payload.values["work"] for m in asked if m.direction == "down"]
    assert given == [False, True]
    assert _bits(done.latest_weights) == _bits(finished_study.latest_weights)


def test_nothing_but_silence_ends_at_the_deadline(
    make_study: Any, replay_study: Any, tmp_path: Path
) -> None:
    study = make_study(federation={"round_deadline_seconds": 0.2})
    with pytest.raises(DeadlineError):
        replay_study(study, tmp_path / "run", alter=lambda sent: [])
    result = _result(tmp_path / "run")
    assert (result["status"], result["code"], result["exit_code"]) == ("failed", "deadline", 7)


@pytest.mark.parametrize("code", sorted(ERROR_CODES))
def test_every_code_ends_a_study_with_its_class_and_exit_code(
    make_study: Any, replay_study: Any, tmp_path: Path, code: str
) -> None:
    def refuse(sent: Any) -> list[Any]:
        return [ErrorReport(code, "0123").to_payload()]

    # A code that means "not yet" is the study's end at the deadline alone.
    study = make_study(federation={"round_deadline_seconds": 0.2})
    with pytest.raises(FedehrError) as raised:
        replay_study(study, tmp_path / "run", alter=refuse)
    assert raised.value.code == code
    result = _result(tmp_path / "run")
    assert (result["code"], result["exit_code"]) == (code, raised.value.exit_code)
    assert _events(tmp_path / "run", "end")[0]["code"] == code
    kind = "site_waits" if code in WAITING_CODES else "site_error"
    assert {e["reference"] for e in _events(tmp_path / "run", kind)} == {"0123"}


def test_an_unknown_code_is_a_failure(make_study: Any, replay_study: Any, tmp_path: Path) -> None:
    def refuse(sent: Any) -> list[Any]:
        return [Payload(values={"error": {"code": "see patient 7", "reference": "r"}})]

    with pytest.raises(FedehrError):
        replay_study(make_study(), tmp_path / "run", alter=refuse)
    assert _result(tmp_path / "run")["code"] == "failed"
    assert "patient" not in (tmp_path / "run" / "progress.jsonl").read_text()


def test_a_fault_of_our_own_leaves_a_result_too(
    make_study: Any, replay_study: Any, tmp_path: Path
) -> None:
    def burst(sent: Any) -> list[Any]:
        raise RuntimeError("disk full at /secret/place")

    with pytest.raises(RuntimeError):
        replay_study(make_study(), tmp_path / "run", alter=burst)
    result = _result(tmp_path / "run")
    assert (result["status"], result["code"], result["exit_code"]) == ("failed", "failed", 1)
    assert "secret" not in json.dumps(result)


def test_a_run_folder_that_holds_a_run_is_refused(
    make_study: Any, replay_study: Any, tmp_path: Path
) -> None:
    replay_study(make_study(), tmp_path / "run")
    before = _result(tmp_path / "run")
    with pytest.raises(DataError, match="exists"):
        replay_study(make_study(), tmp_path / "run")
    assert _result(tmp_path / "run") == before


def _honest(study: Any) -> Payload:
    """What a site of 400 subjects tells of both tasks."""
    from fedehr_client.answers.evaluation import evaluation_report
    from fedehr_client.training.examples import Examples
    from fedehr_shared.tokens.windows import Window, Windows

    generator = np.random.default_rng(0)
    ids = np.arange(400, dtype=np.int64)
    labels = (generator.random((400, 2)) < 0.4).astype(np.float32)
    examples = Examples(ids, ids, Windows.of([Window(0, 0)] * 400), labels)
    scores = generator.random((400, 2))
    return evaluation_report("hospital-2", study, examples, scores, 5).to_payload()


def _wrong(record: str, key: str, change: Callable[[Any], Any]) -> Callable[[Payload], None]:
    def apply(payload: Payload) -> None:
        payload.values[record][key] = change(payload.values[record][key])

    return apply


def _new(record: str, key: str, value: Any) -> Callable[[Payload], None]:
    def apply(payload: Payload) -> None:
        payload.values.setdefault(record, {})[key] = value

    return apply


def _without(record: str, key: str | None = None) -> Callable[[Payload], None]:
    def apply(payload: Payload) -> None:
        if key is None:
            del payload.values[record]
        else:
            del payload.values[record][key]

    return apply


def _grouped(payload: Payload) -> None:
    """More in a group than there are."""
    metrics = payload.values["metrics"]
    for name in ("num", "num_positive"):
        metrics[f"death/sex/female.{name}"] = 10 * metrics[f"death.{name}"]


DEATH = "scores.death"
HOSTILE_EVALUATIONS: dict[str, Callable[[Payload], None]] = {
    "a count that is no multiple": _wrong("metrics", "death.num", lambda n: n - 1),
    "a count missing": _without("metrics", "death.num_positive"),
    "a negative count": _wrong("metrics", "death.num_positive", lambda n: -n),
    "counts that do not add up": _wrong("metrics", "death.num", lambda n: n + 5),
    "more in a group than in all": _grouped,
    "a smaller cell than the study's": _new("report", "min_cell", 1),
    "no cell": _without("report", "min_cell"),
    "no bins": _new(DEATH, "positive.means", []),
    "edges that fall": _wrong(DEATH, "positive.edges", lambda edges: edges[::-1]),
    "edges of two lengths": _wrong(DEATH, "negative.edges", lambda edges: edges[1:]),
    "a mean outside its bin": _wrong(DEATH, "positive.means", lambda means: [0, *means[1:-1], 0]),
    "a boundless deviation": _wrong(DEATH, "negative.deviations", lambda d: [10**9, *d[1:]]),
    "metrics without scores": _without(DEATH),
    "scores of no task": _new("scores.coin", "positive.num", 5),
    "a metric that was not asked for": _new("metrics", "death.secret", 0.5),
    "a group that was not asked for": _new("metrics", "death/city/north.num", 10.0),
    "a calibration that was not asked for": _new("metrics", "calibration.death.slope", 1.0),
    "a metric out of range": _new("metrics", "death.brier", 1.5),
    "an interval upside down": _new("metrics", "death.auprc.low", 1.0),
    "half an interval": _without("metrics", "death.auprc.low"),
    "an AUROC that the scores do not allow": _new("metrics", "death.auroc", 0.9),
    "another site's name": _new("report", "site", "hospital-1"),
    "a metric that is NaN": _new("metrics", "death.auroc", float("nan")),
    "a metric that is a text": _new("metrics", "death.auroc", "high"),
}


@pytest.mark.parametrize("fault", HOSTILE_EVALUATIONS)
def test_a_hostile_evaluation_is_refused_and_the_others_stand(
    make_study: Any, fault: str, finished_study: Any
) -> None:
    from fedehr_server.phases.evaluation import EvaluationPhase

    study = make_study()
    phase = EvaluationPhase(study)
    for message in finished_study.messages:
        if (message.phase, message.direction, message.node) == ("evaluation", "up", 0):
            phase.accept(message.payload)
    payload = _honest(study)
    if fault == "an interval upside down":
        payload.values["metrics"]["death.auprc.high"] = 0.0
    HOSTILE_EVALUATIONS[fault](payload)
    with pytest.raises(WireError):
        phase.accept(payload)
    assert set(phase.close()["death"]["per_site"]) == {"hospital-1"}
    # The honest form of the same numbers is taken.
    phase.accept(_honest(study))
    assert set(phase.close()["death"]["per_site"]) == {"hospital-1", "hospital-2"}


def test_an_evaluation_that_is_refused_is_missing_from_the_record(
    make_study: Any, replay_study: Any, tmp_path: Path
) -> None:
    def break_it(payload: Payload) -> Payload:
        payload.values["metrics"]["death.secret"] = 1.0
        return payload

    replay_study(make_study(), tmp_path / "run", alter=_at("evaluation", 1, 1, break_it))
    evaluation = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert set(evaluation["death"]["per_site"]) == {"hospital-1", "hospital-3"}
    assert {e["code"] for e in _events(tmp_path / "run", "site_error")} == {"wire"}
