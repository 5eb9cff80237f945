"""Evaluations that would exhaust the coordinator, or stand in its tables as something else."""

import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fedehr_server.phases.evaluation import EvaluationPhase
from fedehr_shared.errors import WireError
from fedehr_shared.metrics.score_histogram import MOST_SUBJECTS, NUM_CELLS, num_bins_of
from fedehr_shared.wire.payload import Payload, Values

METRICS = {"auroc": 0.5, "auprc": 0.5, "brier": 0.2, "calibration_error": 0.1}


def _told(num: int, min_cell: int, *, site: str = "north") -> Payload:
    """An evaluation of `num` positives and as many negatives, spread alike over the grid."""
    edges = np.linspace(0, NUM_CELLS, num_bins_of(num, min_cell) + 1).astype(int)
    scores: Values = {}
    for name in ("positive", "negative"):
        scores[f"{name}.num"] = num
        scores[f"{name}.edges"] = (2 * edges[1:-1]).tolist()
        scores[f"{name}.means"] = ((edges[1:] + edges[:-1]) // 2).tolist()
        scores[f"{name}.deviations"] = [0] * (edges.size - 1)
    metrics: Values = {"death.num": 2.0 * num, "death.num_positive": float(num)}
    for name, value in METRICS.items():
        metrics |= {f"death.{name}{end}": value for end in ("", ".low", ".high")}
    report: Values = {"site": site, "min_cell": min_cell}
    return Payload(values={"report": report, "metrics": metrics, "scores.death": scores})


@pytest.mark.parametrize("num", [1_100, 11 * 10**5, 11 * 10**8])
def test_what_pooling_costs_does_not_grow_with_the_numbers_told(
    make_study: Callable[..., Any], num: int
) -> None:
    phase = EvaluationPhase(make_study(finetuning={"tasks": ["death"]}))
    tracemalloc.start()
    began = time.process_time()
    phase.accept(_told(num, 11))
    found = phase.close()["death"]["pooled"]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found["auprc"]["least"] <= 0.5 <= found["auprc"]["greatest"]
    assert peak < 64e6
    assert time.process_time() - began < 20


@pytest.mark.parametrize(
    ("num", "min_cell"), [(10**9, 10**9), (11 * MOST_SUBJECTS, 11), (11 * 10**17, 11), (0, 0)]
)
def test_numbers_that_no_site_has_are_refused(
    make_study: Callable[..., Any], num: int, min_cell: int
) -> None:
    payload = _told(max(num, 1), max(min_cell, 1))
    payload.values["report"]["min_cell"] = min_cell
    phase = EvaluationPhase(make_study(finetuning={"tasks": ["death"]}))
    with pytest.raises(WireError):
        phase.accept(payload)


def test_a_count_without_scores_is_bounded_too(make_study: Callable[..., Any]) -> None:
    study = make_study(finetuning={"tasks": ["days"]}, tasks={"days": {"kind": "regression"}})
    phase = EvaluationPhase(study)
    payload = Payload(
        values={"report": {"site": "a", "min_cell": 5}, "metrics": {"days.num": 5e300}}
    )
    with pytest.raises(WireError):
        phase.accept(payload)


@pytest.mark.parametrize("name", ["", "north\nsouth", "\x1b[2J", "n" * 201])
def test_a_name_that_no_table_can_show_is_refused(
    make_study: Callable[..., Any], name: str
) -> None:
    phase = EvaluationPhase(make_study(finetuning={"tasks": ["death"]}))
    with pytest.raises(WireError, match="name"):
        phase.accept(_told(110, 11, site=name))
