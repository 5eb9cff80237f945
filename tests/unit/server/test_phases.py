"""What the coordinator does with answers: sums, vocabularies, evaluations, first weights."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedehr_server.phases.evaluation import EvaluationPhase
from fedehr_server.phases.model_state import (
    ModelState,
    first_finetuning_state,
    first_pretraining_state,
)
from fedehr_server.phases.training import TrainingRound, travelling_moments
from fedehr_server.privacy.central_mean import CentralMean
from fedehr_server.progress import describe_training
from fedehr_server.training_record import TrainingRecord
from fedehr_shared.config.exchange import ExchangeConfig
from fedehr_shared.errors import WireError
from fedehr_shared.metrics.score_histogram import ScoreHistogram
from fedehr_shared.metrics.told_values import in_steps, step_of
from fedehr_shared.wire.codec.record import decode, encode
from fedehr_shared.wire.payload import Payload
from fedehr_shared.wire.reports import EvaluationReport, TrainReport
from fedehr_shared.wire.work import Phase, WorkId

STATE = ModelState({"w": np.ones((2, 2), np.float32), "b": np.zeros(1, np.float32)})
NAMES = frozenset(STATE.weights)
DECLARED = dict.fromkeys(["north", "south", "east", *(f"site-{i}" for i in range(6))], 60)
MOMENTS = {"w.first": (2, 2), "w.second_root": (2, 2), "b.first": (1,), "b.second_root": (1,)}


def _answer(site: str, num: int, fill: float, **changes: Any) -> Payload:
    update = {"w": np.full((2, 2), fill, np.float32), "b": np.full(1, -fill, np.float32)}
    moments = {name: np.full(shape, abs(fill), np.float32) for name, shape in MOMENTS.items()}
    values = {"metrics": {}, "loss": fill, **changes}
    report = TrainReport(site, num, 1, values["loss"], update, moments, values["metrics"])
    return report.to_payload(ExchangeConfig())


def test_the_mean_is_by_examples_and_moves_the_weights() -> None:
    training = TrainingRound(STATE, NAMES, DECLARED, MOMENTS)
    training.accept(_answer("north", 10, 1.0))
    training.accept(_answer("south", 30, 3.0))
    after = training.close()
    assert after.weights["w"].tolist() == [[3.5, 3.5]] * 2
    assert after.weights["b"].tolist() == [-2.5]
    assert after.moments is not None
    assert after.moments["w.first"].tolist() == [[2.5, 2.5]] * 2
    assert training.loss == pytest.approx(2.5)
    assert STATE.weights["w"].tolist() == [[1.0, 1.0]] * 2


def test_a_site_of_no_vocabulary_phase_is_in_no_noisy_mean() -> None:
    """Where all weigh the same and numbers are withheld, it would take another one's place."""
    central = CentralMean(1.0, 1.0, 2, np.random.default_rng(0))
    withheld = frozenset({"num_examples", "loss"})
    declared = {"north": 60, "south": 60}
    training = TrainingRound(STATE, NAMES, declared, {}, may_lack=withheld, central=central)
    update = {"w": np.ones((2, 2), np.float32), "b": np.ones(1, np.float32)}
    late, north = (
        TrainReport(name, None, 1, None, update, None, {}).to_payload(ExchangeConfig())
        for name in ("late", "north")
    )
    with pytest.raises(WireError, match="declared no subjects"):
        training.accept(late)
    assert training.accept(north) == "north"
    assert list(training.sites) == ["north"]


def test_without_travelling_moments_none_are_kept() -> None:
    training = TrainingRound(STATE, NAMES, DECLARED, {})
    training.accept(_answer("north", 10, 1.0))
    assert training.close().moments is None


@settings(deadline=None, max_examples=30)
@given(data=st.data(), losses=st.lists(st.floats(0, 9), min_size=2, max_size=6))
def test_losses_do_not_depend_on_the_order_of_arrival(
    data: st.DataObject, losses: list[float]
) -> None:
    answers = [_answer(f"site-{i}", i + 1, 0.5, loss=loss) for i, loss in enumerate(losses)]
    found = []
    for order in (answers, data.draw(st.permutations(answers))):
        training = TrainingRound(STATE, NAMES, DECLARED, MOMENTS)
        for payload in order:
            training.accept(payload)
        found.append(training.loss)
    assert found[0] == found[1]


@pytest.mark.parametrize("wrong", ["update", "moments"])
def test_nothing_of_a_refused_answer_is_added(wrong: str) -> None:
    training = TrainingRound(STATE, NAMES, DECLARED, MOMENTS)
    training.accept(_answer("north", 10, 1.0))
    bad = _answer("south", 30, 3.0)
    tensors = decode(bad.tensors[wrong])
    name = sorted(tensors)[-1]
    tensors[name] = np.full_like(tensors[name], 2.0**20)
    bad.tensors[wrong] = encode(tensors, "fp16")
    with pytest.raises(WireError):
        training.accept(bad)
    training.accept(_answer("south", 10, 2.0))
    after = training.close()
    assert after.weights["w"].tolist() == [[2.5, 2.5]] * 2
    assert after.moments is not None
    assert after.moments["w.first"].tolist() == [[1.5, 1.5]] * 2


def test_no_site_weighs_more_than_it_declared() -> None:
    training = TrainingRound(STATE, NAMES, DECLARED, MOMENTS)
    training.accept(_answer("north", 60, 1.0))
    with pytest.raises(WireError, match="declared"):
        training.accept(_answer("south", 61, 1.0))
    with pytest.raises(WireError, match="declared"):
        training.accept(_answer("stranger", 1, 1.0))
    training.accept(_answer("south", 60, 1.0))


def test_tuning_auroc_is_by_examples_and_none_where_all_withhold() -> None:
    training = TrainingRound(STATE, NAMES, DECLARED, MOMENTS)
    told = {"tuning.death.auroc": 0.8, "tuning.death.num": 30.0}
    training.accept(_answer("north", 10, 1.0, metrics=told))
    told = {"tuning.death.auroc": 0.6, "tuning.death.num": 10.0}
    training.accept(_answer("south", 10, 1.0, metrics=told))
    training.accept(_answer("east", 10, 1.0))
    assert training.tuning_auroc(("death", "long_stay")) == {
        "death": pytest.approx(0.75),
        "long_stay": None,
    }


@pytest.mark.parametrize(
    ("changes", "phase", "encoder", "rest"),
    [
        ({}, "pretraining", True, True),
        ({}, "finetuning", True, True),
        ({"pretraining": {"optimizer_state": "fresh"}}, "pretraining", False, False),
        ({"pretraining": {"optimizer_state": "fresh"}}, "finetuning", True, True),
        ({"pretraining": {"optimizer_state": "kept"}}, "pretraining", False, False),
        ({"finetuning": {"optimizer_state": "kept"}}, "finetuning", False, False),
        ({"pretraining": {"private_bias": True}}, "pretraining", True, True),
        ({"finetuning": {"tuning": "probe"}}, "finetuning", False, True),
        ({"finetuning": {"tuning": "probe"}}, "pretraining", True, True),
    ],
)
def test_moments_travel_for_what_is_trained(
    make_study: Callable[..., Any], changes: Any, phase: Phase, encoder: bool, rest: bool
) -> None:
    study = make_study(**changes)
    state = first_pretraining_state(study, 50)
    if phase == "finetuning":
        state = first_finetuning_state(study, 50, state, (0.0, 0.0), dict)
    names = set(travelling_moments(study, WorkId(study.digest, phase, 1, 1), state))
    assert any(name.startswith("encoder.") for name in names) == encoder
    assert any(not name.startswith("encoder.") for name in names) == rest
    assert all(name.endswith((".first", ".second_root")) for name in names)


def test_sites_that_took_other_numbers_of_steps_weigh_by_their_examples() -> None:
    training = TrainingRound(STATE, NAMES, DECLARED, MOMENTS)
    for site, num_steps in (("north", 1), ("south", 200)):
        payload = _answer(site, 10, 1.0 if site == "north" else 3.0)
        payload.values["report"]["num_steps"] = num_steps
        training.accept(payload)
    assert training.close().weights["w"].tolist() == [[3.0, 3.0]] * 2


@pytest.mark.parametrize(
    ("record", "key", "value"),
    [
        ("report", "num_steps", 0),
        ("report", "num_steps", 2.5),
        ("report", "loss", math.nan),
        ("metrics", "grad_norm", math.inf),
        ("metrics", "learning_rate", math.nan),
        ("metrics", "seconds", "quick"),
        ("metrics", "code_entropy", math.inf),
        # Finite, and the mean over two sites would not be.
        ("report", "loss", 1.7e308),
        ("report", "loss", -1.7e308),
        ("report", "loss", 10**400),
        ("report", "num_steps", 10**400),
        ("metrics", "seconds", -1.0),
        ("metrics", "grad_norm", 1.7e308),
        ("metrics", "tuning.death.num", -5.0),
        ("metrics", "tuning.death.num", 1.7e308),
        ("metrics", "tuning.death.auroc", 1e300),
    ],
)
def test_a_round_s_numbers_must_be_numbers(record: str, key: str, value: Any) -> None:
    training = TrainingRound(STATE, NAMES, DECLARED, MOMENTS)
    payload = _answer("north", 10, 1.0)
    payload.values[record][key] = value
    with pytest.raises(WireError):
        training.accept(payload)
    assert training.sites == {}


def test_a_round_tells_what_its_sites_did_and_the_means_by_examples() -> None:
    training = TrainingRound(STATE, NAMES, DECLARED, MOMENTS)
    told = {"learning_rate": 0.002, "grad_norm": 0.5, "seconds": 3.2, "code_entropy": 5.0}
    training.accept(_answer("north", 30, 1.0, metrics={**told, "unheard_of": 1.0}))
    training.accept(_answer("south", 10, 1.0, metrics={"learning_rate": 0.001}))
    assert training.done == {
        "north": {"num_steps": 1, "loss": 1.0, **told},
        "south": {"num_steps": 1, "loss": 1.0, "learning_rate": 0.001},
    }
    assert training.means == pytest.approx(
        {"learning_rate": 0.00175, "grad_norm": 0.5, "code_entropy": 5.0}
    )
    record = TrainingRecord()
    record.add("pretraining", training.done)
    record.add("pretraining", {"north": {**training.done["north"], "loss": 0.5}})
    summary = record.summary["pretraining"]
    assert list(summary) == ["north", "south"]
    assert summary["north"] == {
        **told, "num_rounds": 2, "num_steps": 2, "loss": 0.5, "seconds": pytest.approx(6.4),
    }  # fmt: skip
    event = {"loss": 1.0, **training.means, "sites": {"a": {"num_steps": 3}, "b": {"num_steps": 9}}}
    line = ", ".join(describe_training(event))
    assert line == "loss 1.0000 (entropy 5.00), 3-9 step(s), lr 1.7e-03, gradient 0.5"
    assert describe_training({"loss": None}) == []
    adapters = describe_training({"loss": 1.0, "aggregation_error": 0.1834})
    assert adapters == ["loss 1.0000", "aggregation error 0.18"]


def test_fine_tuning_starts_from_the_pretrained_encoder_and_the_log_odds(
    make_study: Callable[..., Any],
) -> None:
    study = make_study()
    pretrained = first_pretraining_state(study, 50)
    moved = ModelState({n: a + 1 for n, a in pretrained.weights.items()}, {"w": STATE.weights["w"]})
    state = first_finetuning_state(study, 50, moved, (-1.5, 0.25), dict)
    assert state.moments is None
    inside = [name for name in state.weights if name.startswith("encoder.")]
    assert len(inside) == sum(name.startswith("encoder.") for name in pretrained.weights)
    assert all(np.array_equal(state.weights[n], moved.weights[n]) for n in inside)
    assert [float(state.weights[f"heads.{i}.bias"][0]) for i in range(2)] == [-1.5, 0.25]
    again = first_finetuning_state(study, 50, moved, (-1.5, 0.25), dict)
    assert {n: a.tobytes() for n, a in again.weights.items()} == {
        n: a.tobytes() for n, a in state.weights.items()
    }


def _evaluation(site: str, negatives: list[float], positives: list[float]) -> Payload:
    told = [ScoreHistogram.of(np.asarray(scores), 5) for scores in (positives, negatives)]
    won = np.sign(np.subtract.outer(positives, negatives)).mean() / 2 + 0.5
    step = step_of(told[0].num, told[1].num)
    metrics = {"death.num": float(told[0].num + told[1].num)}
    metrics["death.num_positive"] = float(told[0].num)
    for metric, value in (("auroc", in_steps(won, step)), ("auprc", 0.5), ("brier", 0.1)):
        metrics |= {f"death.{metric}{end}": value for end in ("", ".low", ".high")}
    return EvaluationReport(site, 5, metrics, {"death": (told[0], told[1])}).to_payload()


def test_an_evaluation_tells_each_site_and_the_pooled_auroc(
    make_study: Callable[..., Any],
) -> None:
    phase = EvaluationPhase(make_study())
    phase.accept(_evaluation("north", [0.1] * 30, [0.9] * 10))
    phase.accept(_evaluation("south", [0.1] * 10 + [0.9] * 10, [0.1] * 10 + [0.9] * 10))
    phase.accept(EvaluationReport("tiny", 5, {}, {}).to_payload())
    told = phase.close()
    assert told["death"]["per_site"]["north"]["auroc"]["value"] == 1.0
    assert told["death"]["per_site"]["south"]["num_positive"] == 20
    assert told["death"]["per_site"]["tiny"]["value"] is None
    assert "5" in told["death"]["per_site"]["tiny"]["reason"]
    assert told["death"]["worst_site"] == {"site": "south", "metric": "auroc", "value": 0.5}
    pooled = told["death"]["pooled_auroc"]
    # Of 1,500 pairs 800 surely right, 100 surely wrong; of 600 between equal scores, 200 are
    # of one site and known to count half.
    assert pooled["least"] <= (800 + 300) / 1_500 <= pooled["greatest"]
    assert told["death"]["pooled"]["num"] == 80
    assert told["death"]["pooled"]["sites"] == ["north", "south"]
    assert told["death"]["pooled"]["brier"]["value"] == pytest.approx(0.1, abs=1e-2)
    assert told["long_stay"]["pooled_auroc"]["value"] is None
