"""Whether an evaluation can be one: names, ranges, and counts that belong together."""

from collections.abc import Iterator, Mapping

from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import WireError
from fedehr_shared.metrics.questions import (
    OF_PROBABILITIES,
    RANGES,
    Question,
    group_names,
    group_prefix,
    questions_of,
)
from fedehr_shared.metrics.rank_bound import rank_bound
from fedehr_shared.metrics.score_histogram import MOST_SUBJECTS
from fedehr_shared.metrics.told_values import step_of
from fedehr_shared.wire.reports import EvaluationReport

_ENDS = ("", ".low", ".high")
_MOST_CALIBRATION = 1e3


class EvaluationChecks:
    """What a study lets a site tell."""

    def __init__(self, study: StudyConfig) -> None:
        self._min_cell = study.vocabulary.min_cell
        self._is_calibrated = study.evaluation.calibration != "none"
        self._groups = group_names(study.evaluation)
        self._questions = {
            task: questions_of(task, config)
            for task, config in zip(study.finetuning.tasks, study.task_configs, strict=True)
        }
        self._allowed = set(self._names())

    def check(self, report: EvaluationReport) -> None:
        """Refuse a report that no site makes.

        Raises:
            WireError: with the first fault found; nothing of the report may be used.
        """
        if report.min_cell < self._min_cell:
            raise self._wrong(report, "counts in cells smaller than the study's min_cell")
        unknown = set(report.metrics) - self._allowed
        if unknown:
            raise self._wrong(report, f"{len(unknown)} metric(s) that the study does not ask for")
        for questions in self._questions.values():
            for question in questions:
                self._check_question(question, report)
        asked = {q.name for qs in self._questions.values() for q in qs if q.has_scores}
        if not set(report.scores) <= asked:
            raise self._wrong(report, "scores that the study does not ask for")
        self._check_calibrations(report)

    def _check_question(self, question: Question, report: EvaluationReport) -> None:
        whole = self._check_part(question, question.name, question.metrics, report)
        if question.has_scores:
            self._check_scores(question.name, whole, report)
        for kind, names in self._groups.items():
            parts = [
                self._check_part(
                    question,
                    group_prefix(question.name, kind, name),
                    question.group_metrics,
                    report,
                )
                for name in names
                if question.has_groups
            ]
            sums = [sum(part[k] for part in parts) for k in (0, 1)]
            if sums[0] > whole[0] or sums[1] > whole[1]:
                raise self._wrong(
                    report, f"more subjects in groups of '{question.name}' than in all"
                )

    def _check_part(
        self, question: Question, prefix: str, metrics: tuple[str, ...], report: EvaluationReport
    ) -> tuple[int, int]:
        """The negatives and positives told of one question over all or over a group."""
        told = report.metrics
        named = [f"{prefix}.{metric}{end}" for metric in metrics for end in _ENDS]
        counts = [f"{prefix}.num", *([f"{prefix}.num_positive"] if question.has_classes else [])]
        if not any(name in told for name in named + counts):
            return 0, 0
        if any(name not in told for name in counts):
            raise self._wrong(report, f"metrics of '{question.name}' without counts")
        num, positive = told[counts[0]], told[counts[-1]] if question.has_classes else 0.0
        parts = (num - positive, positive) if question.has_classes else (num,)
        cell = report.min_cell
        if any(part % cell or not cell <= part <= MOST_SUBJECTS for part in parts):
            raise self._wrong(
                report, f"a count of '{question.name}' below min_cell, or not told by it"
            )
        for metric in metrics:
            self._check_interval(f"{prefix}.{metric}", metric, report)
        return int(num - positive), int(positive)

    def _check_interval(self, name: str, metric: str, report: EvaluationReport) -> None:
        values = [report.metrics.get(f"{name}{end}") for end in _ENDS]
        known = [value for value in values if value is not None]
        if not known:
            return
        least, greatest = RANGES[metric]
        is_whole = len(known) == len(_ENDS) and known[1] <= known[2]
        if not is_whole or not all(least <= value <= greatest for value in known):
            raise self._wrong(report, f"a {metric} that none can be, or without its interval")

    def _check_scores(self, name: str, counts: tuple[int, int], report: EvaluationReport) -> None:
        """Histograms stand beside their counts, and leave the AUROC room."""
        histograms = report.scores.get(name)
        if (histograms is None) != (counts == (0, 0)):
            raise self._wrong(
                report, f"metrics of '{name}' without scores, or scores without metrics"
            )
        if histograms is None:
            return
        positives, negatives = histograms
        auroc = report.metrics.get(f"{name}.auroc")
        if (negatives.num, positives.num) != counts or auroc is None:
            raise self._wrong(report, f"counts of '{name}' that do not add up")
        room = rank_bound(positives, negatives).widened(step_of(*counts))
        if not room.least <= auroc <= room.greatest:
            raise self._wrong(report, f"an auroc of '{name}' that its scores do not allow")

    def _check_calibrations(self, report: EvaluationReport) -> None:
        told = report.metrics
        for task, questions in self._questions.items():
            slope, intercept = (
                told.get(f"calibration.{task}.{key}") for key in ("slope", "intercept")
            )
            before = {
                f"uncalibrated.{question.name}.{metric}": metric
                for question in questions
                for metric in OF_PROBABILITIES
            }
            if slope is None or intercept is None:
                if slope != intercept or any(name in told for name in before):
                    raise self._wrong(report, f"half a calibration of '{task}'")
                continue
            if not 0 < slope <= _MOST_CALIBRATION or abs(intercept) > _MOST_CALIBRATION:
                raise self._wrong(report, f"a calibration of '{task}' beyond all bounds")
            self._check_before(before, report)

    def _check_before(self, names: Mapping[str, str], report: EvaluationReport) -> None:
        for name, metric in names.items():
            least, greatest = RANGES[metric]
            if not least <= report.metrics.get(name, 0.0) <= greatest:
                raise self._wrong(report, f"a {metric} that none can be")

    def _names(self) -> Iterator[str]:
        for task, questions in self._questions.items():
            if self._is_calibrated:
                yield from (f"calibration.{task}.{key}" for key in ("slope", "intercept"))
            for question in questions:
                yield from self._names_of(question)

    def _names_of(self, question: Question) -> Iterator[str]:
        prefixes = {question.name: question.metrics}
        if question.has_groups:
            prefixes |= {
                group_prefix(question.name, kind, name): question.group_metrics
                for kind, names in self._groups.items()
                for name in names
            }
        for prefix, metrics in prefixes.items():
            yield f"{prefix}.num"
            if question.has_classes:
                yield f"{prefix}.num_positive"
            yield from (f"{prefix}.{metric}{end}" for metric in metrics for end in _ENDS)
        if self._is_calibrated and question.has_scores:
            yield from (f"uncalibrated.{question.name}.{m}" for m in OF_PROBABILITIES)

    def _wrong(self, report: EvaluationReport, what: str) -> WireError:
        return WireError(f"site '{report.site}' sent {what}. Nothing of its evaluation was used.")
