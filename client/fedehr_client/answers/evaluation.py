"""What a site tells of a model's quality: nothing that rests on fewer than `min_cell`."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fedehr_client.answers.asked import Asked, ask
from fedehr_client.answers.calibration import fit_calibration
from fedehr_client.answers.subgroups import groups_of, groups_told
from fedehr_client.training.examples import Examples
from fedehr_shared.cells import told_count
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.config.task import TaskConfig
from fedehr_shared.metrics.binary import auroc
from fedehr_shared.metrics.outcomes import binary_views, task_columns
from fedehr_shared.metrics.questions import OF_PROBABILITIES, group_names, group_prefix
from fedehr_shared.metrics.score_histogram import ScoreHistogram
from fedehr_shared.metrics.told_values import in_steps, step_of
from fedehr_shared.tokens.store import TokenStore
from fedehr_shared.wire.reports import EvaluationReport

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class TuningSplit:
    """What calibrations are fitted on.

    Attributes:
        labels: `[examples, tasks]`.
        predictions: `[examples, outputs]`.
    """

    labels: NDArray[np.float32]
    predictions: Floats


def evaluation_report(
    site: str,
    study: StudyConfig,
    examples: Examples,
    predictions: Floats,
    min_cell: int,
    *,
    store: TokenStore | None = None,
    tuning: TuningSplit | None = None,
) -> EvaluationReport:
    """Metrics with intervals, of all and of subgroups, and histograms of scores, by task.

    A question with fewer than `min_cell` positives or negatives is left out altogether: its
    absence says so. Counts are told by the cell rule.

    Args:
        site: the site's name.
        study: for its tasks and `[evaluation]`.
        examples: held-out examples.
        predictions: `[examples, outputs]`.
        min_cell: the site's floor or the study's, whichever is higher.
        store: tells sexes and ages; without it there are no subgroups.
        tuning: for calibrations; without it there are none.
    """
    groups = {} if store is None else groups_of(study.evaluation, store, examples)
    told = _Told(site, study, min_cell, groups)
    tasks = study.task_configs
    for place, columns in enumerate(task_columns(tasks)):
        name = study.finetuning.tasks[place]
        labels = examples.labels[:, place].astype(np.float64)
        own = predictions[:, columns]
        if tuning is not None:
            split = tuning.labels[:, place].astype(np.float64), tuning.predictions[:, columns]
            own = told.calibrated(name, tasks[place], labels, own, split)
        told.add(list(ask(name, tasks[place], labels, own)))
    return EvaluationReport(site, min_cell, told.metrics, told.scores)


def tuning_auroc(
    study: StudyConfig, examples: Examples, predictions: Floats, min_cell: int
) -> dict[str, float]:
    """AUROC a task on the tuning split, with its number of examples, where it may be told.

    Of several classes the mean over all of them; a regression has none.
    """
    told: dict[str, float] = {}
    tasks = study.task_configs
    for place, columns in enumerate(task_columns(tasks)):
        name = study.finetuning.tasks[place]
        labels = examples.labels[:, place].astype(np.float64)
        views = binary_views(name, tasks[place], labels, predictions[:, columns])
        found, steps = [], []
        for view in views:
            known = view.labels[view.known]
            num, others = (told_count(int((known == k).sum()), min_cell) for k in (1, 0))
            if min(num, others) >= min_cell:
                once = np.ones((1, known.size))
                found.append(float(auroc(known, view.probabilities[view.known], once)[0]))
                steps.append(step_of(num, others))
        if views and len(found) == len(views):
            told[f"tuning.{name}.auroc"] = in_steps(float(np.mean(found)), max(steps))
            num_known = int(views[0].known.sum())
            told[f"tuning.{name}.num"] = float(told_count(num_known, min_cell))
    return told


@dataclass
class _Told:
    """The numbers of a report as they come together."""

    site: str
    study: StudyConfig
    min_cell: int
    groups: dict[str, NDArray[np.int64]]
    metrics: dict[str, float] = field(default_factory=dict)
    scores: dict[str, tuple[ScoreHistogram, ScoreHistogram]] = field(default_factory=dict)

    def calibrated(
        self,
        name: str,
        task: TaskConfig,
        labels: Floats,
        predictions: Floats,
        tuning: tuple[Floats, Floats],
    ) -> Floats:
        """The predictions after the site's calibration, of which before and how are told."""
        config = self.study.evaluation
        found = fit_calibration(config.calibration, task, *tuning, self.min_cell)
        if found is None:
            return predictions
        self.metrics |= {
            f"calibration.{name}.slope": found.slope,
            f"calibration.{name}.intercept": found.intercept,
        }
        for asked in self._tellable(list(ask(name, task, labels, predictions))):
            if asked.question.has_scores:
                prefix = f"uncalibrated.{asked.question.name}"
                self.metrics |= asked.values_told(prefix, OF_PROBABILITIES, config, self.min_cell)
        return found.apply(task, predictions)

    def add(self, asked: list[Asked]) -> None:
        """A task's questions."""
        for one in self._tellable(asked):
            question = one.question
            self.metrics |= one.counts_told(question.name, self.min_cell)
            self.metrics |= one.metrics_told(
                question.name, question.metrics, self.study.evaluation, self.min_cell, self.site
            )
            if question.has_scores:
                self.scores[question.name] = (
                    ScoreHistogram.of(one.values[one.is_positive == 1], self.min_cell),
                    ScoreHistogram.of(one.values[one.is_positive == 0], self.min_cell),
                )
            if question.has_groups:
                self._add_groups(one)

    def _tellable(self, asked: list[Asked]) -> list[Asked]:
        """Those with enough of each class. Classes of one task are parts of a whole: one that
        is hidden must not be found by subtracting the others."""
        enough = [one for one in asked if one.counts.min() >= self.min_cell]
        parts = [one for one in asked if one.question.has_scores]
        if len(parts) < 2:
            return enough
        may = np.asarray([one.counts.min() >= self.min_cell for one in parts])
        told = groups_told(np.asarray([one.counts[1:] for one in parts]), self.min_cell, may)
        return [
            one
            for one in enough
            if not one.question.has_scores or told[[part is one for part in parts].index(True)]
        ]

    def _add_groups(self, asked: Asked) -> None:
        names = group_names(self.study.evaluation)
        for kind, places in self.groups.items():
            parts = [asked.at(places[asked.rows] == k) for k in range(len(names[kind]))]
            told = groups_told(np.asarray([part.counts for part in parts]), self.min_cell)
            for part, group, is_told in zip(parts, names[kind], told, strict=True):
                if is_told:
                    prefix = group_prefix(asked.question.name, kind, group)
                    self.metrics |= part.counts_told(prefix, self.min_cell)
                    self.metrics |= part.metrics_told(
                        prefix,
                        asked.question.group_metrics,
                        self.study.evaluation,
                        self.min_cell,
                        self.site,
                    )
