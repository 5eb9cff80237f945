"""The evaluation phase: per-site metrics as told, and what can be pooled from them."""

from typing import Any

from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import WireError
from fedehr_shared.metrics.score_histogram import pooled_auroc
from fedehr_shared.wire.payload import Payload
from fedehr_shared.wire.reports import EvaluationReport

METRICS = ("auroc", "auprc", "brier")


class EvaluationPhase:
    """Collects the sites' held-out evaluations."""

    def __init__(self, study: StudyConfig) -> None:
        self._study = study
        self._reports: dict[str, EvaluationReport] = {}

    def accept(self, payload: Payload) -> str:
        """Keep a report; the site's name.

        Raises:
            WireError: the report is malformed, breaks the cell rule, or its name is taken.
        """
        report = EvaluationReport.from_payload(payload)
        if report.site in self._reports:
            raise WireError(f"two nodes call themselves site '{report.site}'.")
        for task in self._study.finetuning.tasks:
            self._check(task, report)
        self._reports[report.site] = report
        return report.site

    def close(self) -> dict[str, Any]:
        """By task: each site's metrics, and the pooled AUROC with the bound its bins imply."""
        return {task: self._task(task) for task in self._study.finetuning.tasks}

    def _check(self, task: str, report: EvaluationReport) -> None:
        """Refuse a task's numbers that break the cell rule or do not belong together."""
        told = {n: report.metrics[n] for n in report.metrics if n.startswith(f"{task}.")}
        if task not in report.scores:
            if told:
                raise WireError(f"site '{report.site}' sent metrics of '{task}' without counts.")
            return
        _, negatives, positives = report.scores[task]
        cell = self._study.vocabulary.min_cell
        small = any(num != 0 and num < cell for num in negatives + positives)
        if small or min(sum(negatives), sum(positives)) < cell:
            raise WireError(f"site '{report.site}' sent a count below min_cell.")
        counts = told.get(f"{task}.num"), told.get(f"{task}.num_positive")
        if counts != (sum(negatives) + sum(positives), sum(positives)):
            raise WireError(f"site '{report.site}' sent counts of '{task}' that do not add up.")

    def _task(self, task: str) -> dict[str, Any]:
        sites = sorted(self._reports)
        pooled = pooled_auroc(
            [self._reports[s].scores[task] for s in sites if task in self._reports[s].scores]
        )
        return {
            "per_site": {site: self._site(task, self._reports[site]) for site in sites},
            "pooled_auroc": self._withheld()
            if pooled is None
            else {"value": pooled[0], "least": pooled[1], "greatest": pooled[2]},
        }

    def _site(self, task: str, report: EvaluationReport) -> dict[str, Any]:
        told = report.metrics
        if f"{task}.num" not in told:
            return self._withheld()
        intervals = {
            metric: {
                "value": told.get(f"{task}.{metric}"),
                "low": told.get(f"{task}.{metric}.low"),
                "high": told.get(f"{task}.{metric}.high"),
            }
            for metric in METRICS
        }
        counts = {name: int(told[f"{task}.{name}"]) for name in ("num", "num_positive")}
        return {**counts, **intervals}

    def _withheld(self) -> dict[str, Any]:
        cell = self._study.vocabulary.min_cell
        return {"value": None, "reason": f"fewer than {cell} positives or negatives"}
