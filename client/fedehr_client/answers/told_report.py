"""`told_report`: what a study's `[privacy]` lets a site tell of its training beside the update."""

import math
from dataclasses import replace

import numpy as np

from fedehr_shared.config.study import StudyConfig
from fedehr_shared.privacy.key_patterns import key_patterns
from fedehr_shared.privacy.study_cost import StudyCost
from fedehr_shared.wire.payload import Arrays
from fedehr_shared.wire.reports import TrainReport
from fedehr_shared.wire.work import Phase

_DIGITS = 2
"""Of a loss in a phase with noise: one subject among many seldom moves the second one."""


def told_report(
    report: TrainReport, study: StudyConfig, phase: Phase, min_cell: int
) -> TrainReport:
    """The report without what the study withholds, and with less of what no noise covers.

    Args:
        report: as the round found it.
        study: the study.
        phase: of the round.
        min_cell: the site's floor or the study's, whichever is higher.
    """
    if study.privacy.mechanism == "central":
        report = replace(report, update=_bounded(report.update, study.privacy.max_update_norm))
    if study.privacy.metrics == "withheld":
        return _withheld(report, study, phase)
    return _coarse(report, study, phase, min_cell) if study.privacy.is_private(phase) else report


def _bounded(update: Arrays, most: float) -> Arrays:
    """An update scaled down to a length. The coordinator does so too, but what it need not see
    does not leave."""
    norm = math.sqrt(sum(float(np.square(own, dtype=np.float64).sum()) for own in update.values()))
    if norm <= most:
        return update
    return {name: own * np.float32(most / norm) for name, own in update.items()}


def _withheld(report: TrainReport, study: StudyConfig, phase: Phase) -> TrainReport:
    table = key_patterns(study.to_json())
    metrics = {
        key: value
        for key, value in report.metrics.items()
        if table.find(phase, "metrics", key) is not None
    }
    return replace(report, num_examples=None, loss=None, metrics=metrics)


def _coarse(report: TrainReport, study: StudyConfig, phase: Phase, min_cell: int) -> TrainReport:
    """A loss is of the subjects that the steps drew: told where they should be enough."""
    if report.loss is None or report.num_examples is None:
        return report
    drawn = StudyCost.of(study).of_round(phase)
    expected = report.num_examples * (1 - (1 - drawn.sample_rate) ** drawn.num_steps)
    loss = float(f"{report.loss:.{_DIGITS}g}") if expected >= min_cell else None
    return replace(report, loss=loss)
