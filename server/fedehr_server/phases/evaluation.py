"""The evaluation phase: per-site metrics as told, and what can be pooled from them."""

from typing import Any

from fedehr_server.phases.evaluation_summary import EvaluationSummary
from fedehr_server.phases.site_name import check_site_name
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import WireError
from fedehr_shared.metrics.evaluation_checks import EvaluationChecks
from fedehr_shared.wire.payload import Payload
from fedehr_shared.wire.reports import EvaluationReport


class EvaluationPhase:
    """Collects the sites' held-out evaluations."""

    def __init__(self, study: StudyConfig) -> None:
        self._study = study
        self._checks = EvaluationChecks(study)
        self._reports: dict[str, EvaluationReport] = {}

    def accept(self, payload: Payload) -> str:
        """Keep a report; the site's name.

        Raises:
            WireError: the report is malformed, breaks the cell rule, tells what was not asked
                or what does not belong together, or its name is none or is taken.
        """
        report = EvaluationReport.from_payload(payload)
        check_site_name(report.site)
        if report.site in self._reports:
            raise WireError(f"two nodes call themselves site '{report.site}'.")
        self._checks.check(report)
        self._reports[report.site] = report
        return report.site

    def close(self) -> dict[str, Any]:
        """By task: each site's metrics, the worst site's, and pooled ones with their bounds."""
        summary = EvaluationSummary(self._study, self._reports)
        return {task: summary.task(task) for task in self._study.finetuning.tasks}
