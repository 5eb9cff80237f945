"""The vocabulary phase: reports in, one vocabulary out; or one that an earlier study agreed on."""

import math
from dataclasses import asdict

from fedehr_server.vocabulary_shelf import VocabularyShelf
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import DataError, WireError
from fedehr_shared.vocabulary.build import build_vocabulary
from fedehr_shared.vocabulary.report import VocabularyReport
from fedehr_shared.vocabulary.vocabulary import Vocabulary
from fedehr_shared.wire.payload import Payload
from fedehr_shared.wire.vocabulary_payload import report_from_payload
from fedehr_shared.wire.work import Work, WorkId

_LONGEST_NAME = 200


class VocabularyPhase:
    """Collects what the sites report."""

    def __init__(self, study: StudyConfig) -> None:
        self._study = study
        self._reports: dict[str, VocabularyReport] = {}
        self._reused: Vocabulary | None = None

    def open(self, shelf: VocabularyShelf | None) -> None:
        """Find the vocabulary that the study re-uses, before any site is asked.

        Raises:
            DataError: the shelf does not hold it, or it is damaged.
        """
        digest = self._study.vocabulary.reuse
        if not digest:
            return
        if shelf is None:
            raise DataError(
                f"the study re-uses vocabulary {digest}, and this run has no place to take it "
                "from. Leave [vocabulary] reuse out of the study."
            )
        self._reused = shelf.take(digest)

    def work(self, work_id: WorkId) -> Work:
        """What a site is asked."""
        return Work(work_id, self._study)

    def accept(self, payload: Payload) -> str:
        """Keep a report; the site's name.

        Raises:
            WireError: the report is malformed, breaks the cell rule, is not what the study asks
                for, or its name is taken.
        """
        report = report_from_payload(payload)
        if not 0 < len(report.site) <= _LONGEST_NAME or not report.site.isprintable():
            raise WireError("a site's name is empty, too long or not printable.")
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
        _check_histograms(report)
        self._check_asked(report)
        self._reports[report.site] = report
        return report.site

    def close(self) -> Vocabulary:
        """The federation's vocabulary.

        Raises:
            TooFewSubjectsError: no code is frequent enough at enough sites.
        """
        if self._reused is not None:
            return self._reused
        return build_vocabulary(list(self._reports.values()), self._study.vocabulary)

    @property
    def num_subjects(self) -> dict[str, int]:
        """Training subjects by site."""
        return {name: report.num_subjects for name, report in self._reports.items()}

    @property
    def privacy(self) -> dict[str, dict[str, float]]:
        """By site, what its noisy counts cost each of its subjects; empty without noise."""
        return {
            name: asdict(report.noise)
            for name, report in sorted(self._reports.items())
            if report.noise is not None
        }

    @property
    def log_odds(self) -> tuple[float, ...]:
        """Each task's log-odds of the outcome over the sites that may tell; 0 where none may."""
        return tuple(self._log_odds(task) for task in self._study.finetuning.tasks)

    def _check_asked(self, report: VocabularyReport) -> None:
        config = self._study.vocabulary
        if bool(report.num_subjects_by_code) == bool(config.reuse):
            raise WireError(f"site '{report.site}' did not answer what the study asks about codes.")
        told = report.noise and (report.noise.subject_epsilon, report.noise.delta)
        asked = (config.noise_epsilon, config.noise_delta) if config.noise_epsilon else None
        if told != asked:
            raise WireError(f"site '{report.site}' drew other noise than the study asks for.")

    def _log_odds(self, task: str) -> float:
        told = [r.labels[task] for r in self._reports.values() if task in r.labels]
        positive = sum(positive for _, positive in told)
        negative = sum(num for num, _ in told) - positive
        return math.log(positive / negative) if told else 0.0


def _check_histograms(report: VocabularyReport) -> None:
    """Noise may lift a histogram above the number of subjects."""
    sums = [sum(histogram.counts) for histogram in report.histograms.values()]
    if report.noise is None and max(sums, default=0) > report.num_subjects:
        raise WireError(f"site '{report.site}' counts more subjects in a histogram than it has.")
