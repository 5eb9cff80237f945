"""The vocabulary phase: reports in, one vocabulary out."""

import math

from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import WireError
from fedehr_shared.vocabulary.build import build_vocabulary
from fedehr_shared.vocabulary.report import VocabularyReport
from fedehr_shared.vocabulary.vocabulary import Vocabulary
from fedehr_shared.wire.payload import Payload
from fedehr_shared.wire.vocabulary_payload import report_from_payload
from fedehr_shared.wire.work import Work, WorkId


class VocabularyPhase:
    """Collects the sites' code counts."""

    def __init__(self, study: StudyConfig) -> None:
        self._study = study
        self._reports: dict[str, VocabularyReport] = {}

    def work(self, work_id: WorkId) -> Work:
        """What a site is asked."""
        return Work(work_id, self._study)

    def accept(self, payload: Payload) -> str:
        """Keep a report; the site's name.

        Raises:
            WireError: the report is malformed, breaks the cell rule, or its name is taken.
        """
        report = report_from_payload(payload)
        if report.site in self._reports:
            raise WireError(f"two nodes call themselves site '{report.site}'.")
        least = min(
            [report.num_subjects, *report.num_subjects_by_code.values()]
            + [count for h in report.histograms.values() for count in h.counts]
            + [min(positive, num - positive) for num, positive in report.labels.values()]
        )
        if least < self._study.vocabulary.min_cell:
            raise WireError(f"site '{report.site}' sent a count below min_cell.")
        if max(report.num_subjects_by_code.values(), default=0) > report.num_subjects:
            raise WireError(f"site '{report.site}' counts more subjects at a code than it has.")
        self._reports[report.site] = report
        return report.site

    def close(self) -> Vocabulary:
        """The federation's vocabulary.

        Raises:
            TooFewSubjectsError: no code is frequent enough at enough sites.
        """
        return build_vocabulary(list(self._reports.values()), self._study.vocabulary)

    @property
    def num_subjects(self) -> dict[str, int]:
        """Training subjects by site."""
        return {name: report.num_subjects for name, report in self._reports.items()}

    @property
    def log_odds(self) -> tuple[float, ...]:
        """Each task's log-odds of the outcome over the sites that may tell; 0 where none may."""
        return tuple(self._log_odds(task) for task in self._study.finetuning.tasks)

    def _log_odds(self, task: str) -> float:
        told = [r.labels[task] for r in self._reports.values() if task in r.labels]
        positive = sum(positive for _, positive in told)
        negative = sum(num for num, _ in told) - positive
        return math.log(positive / negative) if told else 0.0
