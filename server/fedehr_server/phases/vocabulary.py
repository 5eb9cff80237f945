"""The vocabulary phase: reports in, one vocabulary out; or one that an earlier study agreed on."""

from dataclasses import asdict

from fedehr_server.phases.site_name import check_site_name
from fedehr_server.vocabulary_shelf import VocabularyShelf
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import DataError, MissingTaskError, WireError
from fedehr_shared.model.heads.class_weights import class_shares_of, class_weights_of
from fedehr_shared.model.heads.first_bias import first_bias
from fedehr_shared.vocabulary.build import build_vocabulary
from fedehr_shared.vocabulary.report import VocabularyReport
from fedehr_shared.vocabulary.vocabulary import Vocabulary
from fedehr_shared.wire.payload import Payload
from fedehr_shared.wire.task_balance import balanced_tasks
from fedehr_shared.wire.vocabulary_payload import report_from_payload
from fedehr_shared.wire.work import Work, WorkId


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
        check_site_name(report.site)
        if report.site in self._reports:
            raise WireError(f"two nodes call themselves site '{report.site}'.")
        least = min(
            [report.num_subjects, *report.num_subjects_by_code.values()]
            + [count for h in report.histograms.values() for count in h.counts]
        )
        if least < self._study.vocabulary.min_cell:
            raise WireError(f"site '{report.site}' sent a count below min_cell.")
        if max(report.num_subjects_by_code.values(), default=0) > report.num_subjects:
            raise WireError(f"site '{report.site}' counts more subjects at a code than it has.")
        _check_histograms(report)
        self._check_labels(report)
        self._check_asked(report)
        self._reports[report.site] = report
        return report.site

    def close(self) -> Vocabulary:
        """The federation's vocabulary.

        Raises:
            TooFewSubjectsError: no code is frequent enough at enough sites.
            MissingTaskError: no site may tell of one of the study's tasks.
        """
        self._require_labels()
        if self._reused is not None:
            return self._reused
        return build_vocabulary(list(self._reports.values()), self._study.vocabulary)

    @property
    def num_subjects(self) -> dict[str, int]:
        """Training subjects by site."""
        return {name: report.num_subjects for name, report in self._reports.items()}

    @property
    def num_labels(self) -> dict[str, dict[str, int]]:
        """Labelled training subjects by site and task."""
        return {
            name: {task: sum(counts) for task, counts in report.labels.items()}
            for name, report in self._reports.items()
        }

    @property
    def privacy(self) -> dict[str, dict[str, float]]:
        """By site, what its noisy counts cost each of its subjects; empty without noise."""
        return {
            name: asdict(report.noise)
            for name, report in sorted(self._reports.items())
            if report.noise is not None
        }

    @property
    def first_biases(self) -> tuple[tuple[float, ...], ...]:
        """By task, where its head's biases start."""
        shares = self.class_shares
        return tuple(
            first_bias(
                task,
                self._counts(name),
                class_weights_of(self._study.loss, task, shares.get(name, ())),
                self._study.vocabulary.min_cell,
            )
            for name, task in self._study.tasks_by_name.items()
        )

    @property
    def class_shares(self) -> dict[str, tuple[float, ...]]:
        """Of the tasks whose class weights come from the label counts."""
        return {name: class_shares_of(self._counts(name)) for name in balanced_tasks(self._study)}

    def _counts(self, task: str) -> tuple[int, ...]:
        """Label counts over the sites that may tell every part, so that shares are right; over
        all sites where none may; 0 where no site tells at all."""
        told = [report.labels[task] for report in self._reports.values() if task in report.labels]
        whole = [counts for counts in told if all(counts)]
        empty = (0,) * self._study.task(task).num_counts
        return tuple(sum(column) for column in zip(empty, *(whole or told), strict=True))

    def _require_labels(self) -> None:
        if self._study.finetuning.rounds == 0:
            return
        for task in self._study.finetuning.tasks:
            if not any(self._counts(task)):
                raise MissingTaskError(
                    f"no site may tell of task '{task}': none has "
                    f"{self._study.vocabulary.min_cell} labelled training subjects of one outcome. "
                    "Leave it out of [finetuning] tasks, or have labels made at the sites."
                )

    def _check_labels(self, report: VocabularyReport) -> None:
        cell, tasks = self._study.vocabulary.min_cell, self._study.tasks_by_name
        for name, counts in report.labels.items():
            if name not in tasks or len(counts) != tasks[name].num_counts:
                raise WireError(f"site '{report.site}' counted labels that nobody asked for.")
            if not any(counts) or any(num < cell for num in counts if num):
                raise WireError(f"site '{report.site}' sent a count below min_cell.")

    def _check_asked(self, report: VocabularyReport) -> None:
        config = self._study.vocabulary
        if bool(report.num_subjects_by_code) == bool(config.reuse):
            raise WireError(f"site '{report.site}' did not answer what the study asks about codes.")
        told = report.noise and (report.noise.subject_epsilon, report.noise.delta)
        asked = (config.noise_epsilon, config.noise_delta) if config.noise_epsilon else None
        if told != asked:
            raise WireError(f"site '{report.site}' drew other noise than the study asks for.")


def _check_histograms(report: VocabularyReport) -> None:
    """Noise may lift a histogram above the number of subjects."""
    sums = [sum(histogram.counts) for histogram in report.histograms.values()]
    if report.noise is None and max(sums, default=0) > report.num_subjects:
        raise WireError(f"site '{report.site}' counts more subjects in a histogram than it has.")
