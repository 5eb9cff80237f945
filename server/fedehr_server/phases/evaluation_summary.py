"""`EvaluationSummary`: the content of `evaluation.json`, from what the sites told."""

from collections.abc import Mapping
from typing import Any

from fedehr_shared.config.study import StudyConfig
from fedehr_shared.metrics.bound import Bound, mean_bound
from fedehr_shared.metrics.outcomes import view_names
from fedehr_shared.metrics.pooled import SiteScores, pooled_auroc
from fedehr_shared.metrics.pooled_precision import pooled_auprc
from fedehr_shared.metrics.questions import (
    OF_PROBABILITIES,
    RANGES,
    Question,
    group_names,
    group_prefix,
    questions_of,
)
from fedehr_shared.metrics.threshold import at_threshold
from fedehr_shared.metrics.told_values import step_of
from fedehr_shared.wire.reports import EvaluationReport

Json = dict[str, Any]
_GREATER_IS_WORSE = ("rmse", "mae", "brier", "calibration_error")
_WORST_BY = ("auroc", "accuracy", "concordance", "rmse")
_MEANS = ("brier", "accuracy", "mae")
"""Means over subjects, so that the sites' weighted mean is that of all."""


class EvaluationSummary:
    """Per site, worst site and pooled, question by question."""

    def __init__(self, study: StudyConfig, reports: Mapping[str, EvaluationReport]) -> None:
        self._study = study
        self._reports = {site: reports[site] for site in sorted(reports)}
        self._groups = group_names(study.evaluation)

    def task(self, name: str) -> Json:
        """A task: its own question's numbers; of several classes each one's under `classes`."""
        config = self._study.task(name)
        questions = {question.name: question for question in questions_of(name, config)}
        found: Json = {"kind": config.kind, **self._question(questions[name], config.thresholds)}
        self._add_calibrations(name, found)
        if config.kind == "multiclass":
            found["classes"] = {
                one: self._question(questions[view], config.thresholds)
                for one, view in zip(config.classes, view_names(name, config), strict=True)
            }
            found["macro_auroc"] = self._macro(list(found["classes"].values()))
        if config.kind == "time_to_event":
            found["times"] = self._question(questions[f"{name}.time"], ())
        return found

    def _question(self, question: Question, thresholds: tuple[float, ...]) -> Json:
        per_site = {
            site: self._site(question, report, thresholds) for site, report in self._reports.items()
        }
        told = {site: numbers for site, numbers in per_site.items() if "num" in numbers}
        found: Json = {"per_site": per_site, "worst_site": _worst(question, told)}
        if question.has_scores:
            told_scores = (site_scores(r, question.name) for r in self._reports.values())
            scores = [one for one in told_scores if one is not None]
            found["pooled_auroc"] = _bounded(pooled_auroc(scores), self._reason)
            found["pooled"] = self._pooled_scores(scores, question, thresholds)
        else:
            found["pooled"] = self._pooled_means(question)
        if told:
            found["pooled"]["sites"] = list(told)
        return found

    def _site(
        self, question: Question, report: EvaluationReport, thresholds: tuple[float, ...]
    ) -> Json:
        told = report.metrics
        if f"{question.name}.num" not in told:
            return {"value": None, "reason": self._reason_of(question)}
        numbers = self._part(question, question.name, question.metrics, told)
        scores = site_scores(report, question.name)
        if scores is not None:
            numbers["prevalence"] = round(numbers["num_positive"] / numbers["num"], 4)
            numbers["thresholds"] = [self._threshold([scores], at) for at in thresholds]
        before = {m: told.get(f"uncalibrated.{question.name}.{m}") for m in OF_PROBABILITIES}
        if any(value is not None for value in before.values()):
            numbers["uncalibrated"] = before
        if question.has_groups:
            numbers["subgroups"] = self._subgroups(question, told)
        return numbers

    def _subgroups(self, question: Question, told: Mapping[str, float]) -> Json:
        found: Json = {}
        for kind, names in self._groups.items():
            found[kind] = {}
            for name in names:
                prefix = group_prefix(question.name, kind, name)
                found[kind][name] = (
                    self._part(question, prefix, question.group_metrics, told)
                    if f"{prefix}.num" in told
                    else {
                        "value": None,
                        "reason": f"{self._reason_of(question)}, here or in what is left",
                    }
                )
        return found

    def _part(
        self,
        question: Question,
        prefix: str,
        metrics: tuple[str, ...],
        told: Mapping[str, float],
    ) -> Json:
        counts = ("num", "num_positive") if question.has_classes else ("num",)
        numbers: Json = {name: int(told[f"{prefix}.{name}"]) for name in counts}
        for metric in metrics:
            ends = {"value": "", "low": ".low", "high": ".high"}
            values = {end: told.get(f"{prefix}.{metric}{suffix}") for end, suffix in ends.items()}
            if values["value"] is None:
                values["reason"] = "no finite value"  # type: ignore[assignment]
            numbers[metric] = values
        return numbers

    def _pooled_scores(
        self, scores: list[SiteScores], question: Question, thresholds: tuple[float, ...]
    ) -> Json:
        if not scores:
            return {"value": None, "reason": self._reason}
        positives = Bound(
            sum(s.positives.num for s in scores), sum(s.positives.most for s in scores)
        )
        negatives = Bound(
            sum(s.negatives.num for s in scores), sum(s.negatives.most for s in scores)
        )
        prevalence = Bound(
            positives.least / (positives.least + negatives.greatest),
            positives.greatest / (positives.greatest + negatives.least),
        )
        return {
            "num": int(positives.least + negatives.least),
            "num_positive": int(positives.least),
            "prevalence": _bounded(prevalence, ""),
            "auroc": _bounded(pooled_auroc(scores), ""),
            "auprc": _bounded(pooled_auprc(scores), ""),
            **self._pooled_means(question),
            "thresholds": [self._threshold(scores, at) for at in thresholds],
        }

    def _pooled_means(self, question: Question) -> Json:
        """Means over subjects, pooled by the sites' numbers."""
        return {
            metric: _bounded(self._mean(question, metric), self._reason_of(question))
            for metric in question.metrics
            if metric in _MEANS
        }

    def _mean(self, question: Question, metric: str) -> Bound | None:
        values, weights = [], []
        for report in self._reports.values():
            told = report.metrics
            if f"{question.name}.{metric}" not in told:
                continue
            num, value = told[f"{question.name}.num"], told[f"{question.name}.{metric}"]
            positive = told.get(f"{question.name}.num_positive")
            spare = (1 if positive is None else 2) * (report.min_cell - 1)
            least, greatest = RANGES[metric]
            step = _step(metric, num, positive, value)
            values.append(Bound(value, value).widened(step / 2 + 1e-9).within(least, greatest))
            weights.append(Bound(num, num + spare))
        return mean_bound(values, weights) if values else None

    def _threshold(self, scores: list[SiteScores], at: float) -> Json:
        found = at_threshold(scores, at)
        reason = "fewer than min_cell subjects surely on one side"
        named = {
            "sensitivity": found.sensitivity,
            "specificity": found.specificity,
            "ppv": found.ppv,
        }
        return {"at": at, **{name: _bounded(bound, reason) for name, bound in named.items()}}

    def _macro(self, classes: list[Json]) -> Json:
        pooled = [one["pooled_auroc"] for one in classes]
        if any(one["value"] is None for one in pooled):
            return {"value": None, "reason": "a class is withheld"}
        ends = [sum(one[end] for one in pooled) / len(pooled) for end in ("least", "greatest")]
        return _bounded(Bound(*ends), "")

    def _add_calibrations(self, task: str, found: Json) -> None:
        kind = self._study.task(task).kind
        if self._study.evaluation.calibration == "none" or kind == "regression":
            return
        for site, report in self._reports.items():
            slope = report.metrics.get(f"calibration.{task}.slope")
            found.setdefault("calibration", {})[site] = (
                {"slope": None, "reason": "too few labels in the tuning split, or no finite fit"}
                if slope is None
                else {"slope": slope, "intercept": report.metrics[f"calibration.{task}.intercept"]}
            )

    @property
    def _reason(self) -> str:
        return f"fewer than {self._study.vocabulary.min_cell} positives or negatives"

    def _reason_of(self, question: Question) -> str:
        if question.has_scores and not question.has_groups:
            # One class of several: its count could be what the others leave.
            return f"{self._reason}, here or in what is left"
        if question.has_classes:
            return self._reason
        return f"fewer than {self._study.vocabulary.min_cell} subjects"


def site_scores(report: EvaluationReport, question: str) -> SiteScores | None:
    """One site's scores for pooling, None where they are withheld."""
    if question not in report.scores:
        return None
    positives, negatives = report.scores[question]
    spare = step_of(positives.num, negatives.num) / 2 + 1e-9
    auroc, auprc = (
        None if value is None else Bound(value, value).widened(spare)
        for value in (report.metrics.get(f"{question}.{m}") for m in ("auroc", "auprc"))
    )
    return SiteScores(positives, negatives, auroc, auprc)


def _step(metric: str, num: float, positive: float | None, value: float) -> float:
    """In which step the metric was told (`told_values.py`)."""
    if metric == "mae":
        return abs(value) * 1e-3
    if metric == "accuracy" or positive is None:
        return step_of(int(num))
    return step_of(int(positive), int(num - positive))


def _worst(question: Question, told: Mapping[str, Json]) -> Json | None:
    metric = next((m for m in _WORST_BY if m in question.metrics), None)
    if metric is None:
        return None
    known = {s: n[metric]["value"] for s, n in told.items() if n[metric]["value"] is not None}
    if not known:
        return None
    pick = max if metric in _GREATER_IS_WORSE else min
    site = pick(known, key=lambda one: known[one])
    return {"site": site, "metric": metric, "value": known[site]}


def _bounded(bound: Bound | None, reason: str) -> Json:
    if bound is None:
        return {"value": None, "reason": reason}
    return {"value": bound.middle, "least": bound.least, "greatest": bound.greatest}
