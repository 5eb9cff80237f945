"""What belongs to one task alone, split and joined; weights, shares and first biases."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedehr_server.phases.task_sums import LABELS, SiteWeight, TaskSums
from fedehr_server.phases.task_weights import DynamicWeights
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.config.task import TaskConfig
from fedehr_shared.errors import WireError
from fedehr_shared.model.finetuning_model import FinetuningModel
from fedehr_shared.model.heads.class_weights import class_shares_of
from fedehr_shared.model.heads.first_bias import first_bias
from fedehr_shared.model.heads.task_parts import SHARED, TaskParts
from fedehr_shared.model.weights import draw_first_weights
from fedehr_shared.wire.moments import moment_shapes
from fedehr_shared.wire.reports import TrainReport
from fedehr_shared.wire.task_balance import TaskBalance


def make_study(**loss: Any) -> StudyConfig:
    return StudyConfig.model_validate(
        {
            "name": "any",
            "model": {"layers": 1, "hidden": 8, "heads": 1},
            "finetuning": {"tasks": ["death", "ward", "days"]},
            "tasks": {
                "ward": {"kind": "multiclass", "classes": ["a", "b", "c"]},
                "days": {"kind": "regression"},
            },
            "loss": loss,
        }
    )


STUDY = make_study(task_weights="uncertainty")
PARTS = TaskParts.of(STUDY)


def draw(seed: int) -> dict[str, Any]:
    drawn = draw_first_weights(FinetuningModel(STUDY, 7), 1)
    shapes = {name: value.shape for name, value in drawn.items()}
    generator = np.random.default_rng(seed)
    return {
        name: generator.normal(size=shape).astype(np.float32)
        for name, shape in {**shapes, **moment_shapes(shapes)}.items()
    }


def test_joined_parts_are_what_was_split_bit_for_bit() -> None:
    tensors = draw(1)
    back = PARTS.join(PARTS.split(tensors))
    assert {n: t.tobytes() for n, t in back.items()} == {n: t.tobytes() for n, t in tensors.items()}
    encoder = {name for name in tensors if name.startswith("encoder.")}
    assert encoder == set(PARTS.split(tensors)[SHARED])


@settings(deadline=None, max_examples=30)
@given(
    weights=st.lists(st.tuples(*[st.integers(0, 40)] * 3), min_size=1, max_size=5),
    seed=st.integers(0, 999),
)
def test_each_task_is_averaged_over_those_who_trained_it_in_any_order(
    weights: list[tuple[int, ...]], seed: int
) -> None:
    sites = [(draw(seed + number), SiteWeight(50, own)) for number, own in enumerate(weights)]
    unchanged = draw(99)
    found = []
    for order in (sites, sites[::-1]):
        sums = TaskSums(50 * len(sites), PARTS)
        for tensors, weight in order:
            sums.add(tensors, weight)
        found.append(sums.mean(unchanged))
    assert all(np.array_equal(found[0][name], found[1][name]) for name in unchanged)
    parts = [PARTS.split(tensors) for tensors, _ in sites]
    expected = {}
    for part, own in PARTS.split(unchanged).items():
        share = [weight.of_part(part) for _, weight in sites]
        expected[part] = {
            name: np.average([p[part][name] for p in parts], axis=0, weights=share)
            if any(share)
            else tensor
            for name, tensor in own.items()
        }
    for name, tensor in PARTS.join(expected).items():
        np.testing.assert_allclose(found[0][name], tensor, atol=2e-6)


def test_more_labels_than_examples_are_refused() -> None:
    report = TrainReport("north", 40, 1, 0.5, {}, metrics={f"{LABELS}ward": 45.0})
    with pytest.raises(WireError, match="more labels"):
        SiteWeight.of(report.site, 40, report.metrics, PARTS)


def test_a_task_that_no_longer_falls_weighs_more() -> None:
    weights = DynamicWeights(make_study(task_weights="dynamic", dynamic_temperature=0.5))
    assert weights.weights == pytest.approx((1 / 3,) * 3, abs=1e-4)

    def told(*losses: float, num: float = 10.0) -> dict[str, float]:
        names = ("death", "ward", "days")
        found = {f"tuning.{n}.loss": loss for n, loss in zip(names, losses, strict=True)}
        return found | {f"{LABELS}{name}": num for name in names}

    weights.add([told(1.0, 1.0, 1.0)])
    assert len(set(weights.weights)) == 1
    # Means over sites, by their labels: 0.5, 0.9 and 1.
    weights.add([told(0.4, 0.9, 1.0, num=30.0), told(0.8, 0.9, 1.0)])
    raw = [math.exp(ratio / 0.5) for ratio in (0.5, 0.9, 1.0)]
    assert weights.weights == pytest.approx([one / sum(raw) for one in raw], abs=1e-4)
    weights.add([{}])
    assert len(set(weights.weights)) == 1
    assert DynamicWeights(make_study()).weights == ()


def test_biases_start_where_the_counts_alone_predict_best() -> None:
    multiclass = TaskConfig(kind="multiclass", classes=("a", "b", "c"))
    hours = TaskConfig(kind="time_to_event", interval_ends_hours=(24, 48))
    assert first_bias(TaskConfig(), (60, 20), (), 5) == pytest.approx([math.log(1 / 3)])
    assert first_bias(TaskConfig(), (60, 20), (0.5, 1.5), 5) == pytest.approx([0.0])
    shares = np.exp(first_bias(multiclass, (50, 30, 20), (), 5))
    assert shares.tolist() == pytest.approx([0.5, 0.3, 0.2])
    assert first_bias(TaskConfig(kind="regression"), (90,), (), 5) == (0.0,)
    hazards = 1 / (1 + np.exp(-np.asarray(first_bias(hours, (20, 40, 40), (), 5))))
    assert hazards.tolist() == pytest.approx([0.2, 0.5])
    assert np.isfinite(first_bias(multiclass, (50, 0, 0), (), 5)).all()
    assert np.isfinite(first_bias(hours, (50, 0, 0), (), 5)).all()


def test_shares_hide_counts_and_rare_classes_weigh_within_bounds() -> None:
    assert class_shares_of((123_456, 7, 0)) == (1.0, 0.001, 0.001)
    assert class_shares_of((1, 2)) == (0.333, 0.667)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"weights": [0.5, 0.5]},
        {"weights": [0.5, 0.5, float("nan")]},
        {"weights": [2.0, -0.5, -0.5]},
        {"weights": ["a", "b", "c"]},
        {"weights": 1.0},
        {"weights": [0.4, 0.3, 0.3], "class_shares.death": [0.5, 0.5]},
    ],
)
def test_a_wrong_record_of_weights_is_refused(values: dict[str, Any]) -> None:
    study = make_study(task_weights="dynamic")
    good = TaskBalance((0.4, 0.3, 0.3))
    assert TaskBalance.from_values(good.to_values(), study) == good
    with pytest.raises(WireError, match="tasks"):
        TaskBalance.from_values(values, study)


def test_balanced_shares_come_for_each_task_with_classes_and_without_weights() -> None:
    study = make_study(class_weights="balanced")
    good = TaskBalance(class_shares={"death": (0.9, 0.1), "ward": (0.5, 0.3, 0.2)})
    assert TaskBalance.from_values(good.to_values(), study) == good
    with pytest.raises(WireError):
        TaskBalance.from_values({"class_shares.death": [0.9, 0.1]}, study)
    zero = TaskBalance(class_shares={"death": (1.0, 0.0), "ward": (0.5, 0.3, 0.2)})
    with pytest.raises(WireError, match="without a share"):
        TaskBalance.from_values(zero.to_values(), study)
    with pytest.raises(WireError):
        TaskBalance.from_values(good.to_values(), make_study())
