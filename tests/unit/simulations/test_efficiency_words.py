"""What is said of pre-training follows from the paired intervals, and from nothing else."""

from typing import Any

import pytest

from fedehr_simulations.efficiency.record import Gain
from fedehr_simulations.efficiency.words import in_words, is_ahead
from fedehr_simulations.verdict.result import Interval


def _gain(low: float, high: float, num_labels: int | None = 64, task: str = "death") -> Gain:
    told = Interval(value=(low + high) / 2, low=low, high=high)
    return Gain(
        place="federation",
        task=task,
        num_labels=num_labels,
        reference="best bag",
        auroc_points=told,
        auroc_percent=told,
        auprc_points=told,
    )


@pytest.mark.parametrize(
    ("low", "high", "ahead"),
    [(0.1, 2.0, True), (-0.1, 9.0, None), (-9.0, 0.1, None), (-2.0, -0.1, False), (0.0, 5.0, None)],
)
def test_an_interval_with_zero_tells_no_order(low: float, high: float, ahead: bool | None) -> None:
    assert is_ahead(_gain(low, high)) is ahead


class _Told:
    """A record's parts that words are made of."""

    def __init__(self, *gains: Gain) -> None:
        self.gains = gains
        self.num_scored = {"federation": 100}
        self.held_out_site = ""


def test_where_it_is_not_ahead_is_said_by_task_and_number() -> None:
    record: Any = _Told(
        _gain(1.0, 2.0),
        _gain(-1.0, 2.0, 256),
        _gain(-2.0, -1.0, None),
        _gain(-2.0, 1.0, 64, "stay"),
    )
    (line,) = in_words(record)
    assert "ahead with 64 labels for death;" in line
    assert "NOT ahead (behind) with all labels for death" in line
    assert "NOT ahead (not told apart) with 256 labels for death, 64 labels for stay" in line
