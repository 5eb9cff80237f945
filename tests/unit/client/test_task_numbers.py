"""What a site tells of each task beside its score rests on enough subjects of each class."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fedehr_client.answers.task_numbers import tuning_losses
from fedehr_client.training.examples import Examples
from fedehr_shared.tokens.windows import Window, Windows
from fedehr_shared.wire.task_balance import TaskBalance

TASKS: dict[str, dict[str, Any]] = {
    "binary": {},
    "classes": {"kind": "multiclass", "classes": ["a", "b", "c"]},
    "value": {"kind": "regression"},
    "time": {"kind": "time_to_event", "interval_ends_hours": [24.0, 48.0]},
}
OUTPUTS = {
    "binary": [0.1], "classes": [0.5, 0.3, 0.2], "value": [1.0], "time": [0.1, 0.2],
}  # fmt: skip


def _losses(make_study: Callable[..., Any], task: str, labels: list[float]) -> dict[str, float]:
    """Of a model that tells nobody apart, at a site with `min_cell` 5."""
    tasks = {task: TASKS[task]} if TASKS[task] else {}
    study = make_study(finetuning={"tasks": [task]}, tasks=tasks, loss={"task_weights": "dynamic"})
    ids = np.arange(len(labels), dtype=np.int64)
    windows = Windows.of([Window(0, 0)] * len(labels))
    examples = Examples(ids, ids, windows, np.asarray(labels, np.float32)[:, None])
    predictions = np.tile(OUTPUTS[task], (len(labels), 1))
    return tuning_losses(study, examples, predictions, TaskBalance(), 5)


@pytest.mark.parametrize(
    ("task", "few"),
    [
        ("binary", [1.0]), ("classes", [0.0] * 20 + [1.0]), ("time", [3.0]), ("value", []),
    ],
)  # fmt: skip
def test_a_loss_tells_no_class_of_fewer_than_min_cell(
    make_study: Callable[..., Any], task: str, few: list[float]
) -> None:
    many, rare = {"binary": (0.0, 1.0), "classes": (2.0, 1.0), "time": (-30.0, 3.0)}.get(
        task, (2.0, 2.0)
    )
    nan = float("nan")
    hidden = [many] * 20 + few if few else [many] * 4
    assert _losses(make_study, task, [*hidden, nan]) == {}
    told = _losses(make_study, task, [*hidden, *[rare] * 5, nan])
    assert set(told) == {f"tuning.{task}.loss"}
