"""`VocabularyAnswer`: the site's answer in the vocabulary phase, written down before it leaves."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import replace

from fedehr_client.label_counts import count_labels, count_outcomes
from fedehr_client.locator import SiteLocation
from fedehr_client.room import require_room
from fedehr_client.tasks.cohort import held_tasks
from fedehr_client.vocabulary.kept_report import KeptReports
from fedehr_client.vocabulary.noise import NoiseBounds
from fedehr_client.vocabulary.sent import write_sent
from fedehr_client.vocabulary.site_report import (
    SiteRecords,
    count_site,
    count_site_with_noise,
    noisy_labels,
    require_subjects,
    spend_of,
)
from fedehr_shared.cells import cell_of, told_count
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.contract.answer_bytes import BYTES_PER_CODE
from fedehr_shared.meds.code_table import read_codes
from fedehr_shared.meds.event_stream import stream_events
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.meds.reader import read_splits
from fedehr_shared.privacy.system_noise import NoiseSource, SystemNoise
from fedehr_shared.vocabulary.noise_spent import NoiseSpent
from fedehr_shared.vocabulary.report import VocabularyReport
from fedehr_shared.wire.payload import Payload
from fedehr_shared.wire.vocabulary_payload import report_to_payload

_NUM_COPIES = 2
"""Of the answer: the kept report, and the copy of what is sent."""


class VocabularyAnswer:
    """What one site answers to one study."""

    def __init__(
        self,
        study: StudyConfig,
        location: SiteLocation,
        noise: NoiseSource | None = None,
        *,
        charge: Callable[[], None],
    ) -> None:
        """Nothing is counted or drawn yet.

        Args:
            study: the study.
            location: the site.
            noise: for tests; a study's noise is the operating system's entropy.
            charge: puts down what the noise costs, on the disk, before it is drawn.
        """
        self._study = study
        self._location = location
        self._min_cell = cell_of(study.vocabulary.min_cell, location.min_cell)
        self._charge = charge
        self._noise = SystemNoise() if noise is None else noise
        self._records = read_site(location.records, location.name)

    @property
    def is_drawn(self) -> bool:
        """Whether a noisy report of these records is kept, which is sent again as it is."""
        return bool(self._study.vocabulary.noise_epsilon) and self._kept().find() is not None

    def payload(self) -> Payload:
        """The answer; what is in it stands in `<work>/sent` when this returns.

        Raises:
            TooFewSubjectsError: the site, or each of its codes, has too few subjects.
            MissingTaskError: the site has labels for none of the study's tasks.
            DataError: the records are damaged, or the work folder cannot be written.
        """
        spent = spend_of(self._study.vocabulary, len(self._study.finetuning.tasks))
        if spent is None:
            payload = report_to_payload(replace(self._counts(), labels=self._labels()))
        else:
            payload = self._noisy_payload(spent)
        write_sent(self._location.work, self._study.digest, payload)
        return payload

    def _counts(self) -> VocabularyReport:
        if not self._study.vocabulary.reuse:
            return count_site(self._records, self._min_cell)
        return self._subjects_alone()

    def _labels(self) -> dict[str, tuple[int, ...]]:
        return count_labels(
            self._location.records,
            self._study.tasks_by_name,
            self._records.splits,
            self._min_cell,
            self._study.cohort,
        )

    def _noisy_payload(self, spent: NoiseSpent) -> Payload:
        kept = self._kept()
        with kept.alone():
            payload = kept.find()
            if payload is None:
                # Else each asking would be charged anew while the disk is full.
                require_room(self._location.work, _NUM_COPIES * self._most_bytes())
                # Charged first: a crash after the draw must not leave it free.
                self._charge()
                payload = report_to_payload(self._noisy_report(spent))
                kept.keep(payload)
        return payload

    def _most_bytes(self) -> int:
        return BYTES_PER_CODE * (1 + len(self._records.codes))

    def _kept(self) -> KeptReports:
        return KeptReports(self._location.work, self._study.digest, self._fingerprint())

    def _noisy_report(self, spent: NoiseSpent) -> VocabularyReport:
        config = self._study.vocabulary.model_copy(update={"min_cell": self._min_cell})
        bounds = NoiseBounds(spent.sigma, self._min_cell, self._noise)
        outcomes = count_outcomes(
            self._location.records,
            self._study.tasks_by_name,
            self._records.splits,
            self._study.cohort,
        )
        labels = noisy_labels(outcomes, bounds)
        if not config.reuse:
            report = count_site_with_noise(self._records, config, spent, self._noise)
        else:
            report = replace(self._subjects_alone(), noise=spent)
        return replace(report, labels=labels)

    def _subjects_alone(self) -> VocabularyReport:
        """The number of training subjects, with no code: the study brings its vocabulary."""
        num_subjects = sum(chunk.subject_ids.size for chunk in self._records.chunks())
        require_subjects(self._records.site, num_subjects, self._min_cell)
        return VocabularyReport(
            self._records.site, told_count(num_subjects, self._min_cell), unit=self._min_cell
        )

    def _fingerprint(self) -> str:
        """Changes when any file that is counted is written again."""
        site = self._location.records
        files = [*site.data_files, site.codes_file, site.splits_file]
        tasks = self._study.finetuning.tasks
        files += [site.labels_file(task) for task in held_tasks(site, tasks)]
        digest = hashlib.sha256()
        for file in files:
            status = os.stat(file)
            digest.update(f"{file.name}:{status.st_size}:{status.st_mtime_ns};".encode())
        return digest.hexdigest()


def read_site(site: SiteFolder, name: str) -> SiteRecords:
    """A site folder's records, its events to be streamed.

    Raises:
        DataError: codes or splits are missing or damaged.
    """
    table = read_codes(site)
    return SiteRecords(
        site=name,
        codes=table.codes,
        parents=table.parents,
        splits=read_splits(site),
        stream=lambda: stream_events(site, table),
    )
