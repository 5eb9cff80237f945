"""What a site tells of a model's quality: nothing that rests on fewer than `min_cell`."""

import numpy as np
from numpy.typing import NDArray

from fedehr_client.training.examples import Examples
from fedehr_shared.cells import told_count
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.metrics.binary import METRICS
from fedehr_shared.metrics.intervals import bootstrap_weights, metric_interval
from fedehr_shared.metrics.score_histogram import ScoreBins, merge_scores
from fedehr_shared.wire.reports import EvaluationReport


def evaluation_report(
    site: str,
    study: StudyConfig,
    examples: Examples,
    scores: NDArray[np.float64],
    min_cell: int,
) -> EvaluationReport:
    """Metrics with intervals and score histograms, task by task.

    A task with fewer than `min_cell` positives or negatives is left out altogether: its
    absence says so. Counts are told by the cell rule, those of score bins too.

    Args:
        site: the site's name.
        study: for its tasks and the number of bootstrap replicates.
        examples: held-out examples.
        scores: `[examples, tasks]`, probabilities.
        min_cell: the site's floor or the study's, whichever is higher.
    """
    metrics: dict[str, float] = {}
    histograms = {}
    for column, task in enumerate(study.finetuning.tasks):
        known = ~np.isnan(examples.labels[:, column])
        labels = examples.labels[known, column].astype(np.float64)
        merged = merge_scores(labels, scores[known, column], min_cell)
        if merged is None:
            continue
        _, negatives, positives = histograms[task] = _told(merged, min_cell)
        metrics[f"{task}.num"] = float(sum(negatives) + sum(positives))
        metrics[f"{task}.num_positive"] = float(sum(positives))
        weights = bootstrap_weights(labels.size, study.evaluation.num_bootstraps, site, task)
        for metric in METRICS:
            interval = metric_interval(metric, labels, [scores[known, column]], weights)
            metrics[f"{task}.{metric}"] = interval.value
            metrics[f"{task}.{metric}.low"] = interval.low
            metrics[f"{task}.{metric}.high"] = interval.high
    return EvaluationReport(site=site, metrics=metrics, scores=histograms)


def tuning_auroc(
    study: StudyConfig, examples: Examples, scores: NDArray[np.float64], min_cell: int
) -> dict[str, float]:
    """AUROC a task on the tuning split, with its number of examples, where it may be told."""
    told: dict[str, float] = {}
    for column, task in enumerate(study.finetuning.tasks):
        known = ~np.isnan(examples.labels[:, column])
        labels = examples.labels[known, column].astype(np.float64)
        if min(labels.sum(), (1 - labels).sum()) >= min_cell:
            once = np.ones((1, labels.size))
            told[f"tuning.{task}.auroc"] = float(
                METRICS["auroc"](labels, scores[known, column], once)[0]
            )
            told[f"tuning.{task}.num"] = float(told_count(labels.size, min_cell))
    return told


def _told(merged: ScoreBins, min_cell: int) -> ScoreBins:
    edges, negatives, positives = merged
    return (
        edges,
        [told_count(num, min_cell) for num in negatives],
        [told_count(num, min_cell) for num in positives],
    )
