"""`SiteErasure`: everything a site holds of withdrawn subjects is removed, or will be.

The order makes it safe to be killed anywhere: first who has withdrawn (as keyed hashes), then
the journal, then file after file, each replaced in one step, then the audit's line, and last
the journal goes. Every step looks for what is still there, so running again ends complete.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass

from fedehr_client.erasure.caches import find_caches, remove_caches
from fedehr_client.erasure.journal import JOURNAL_FILE, Journal, read_journal, remove_journal
from fedehr_client.erasure.metadata import renew_metadata
from fedehr_client.erasure.place import Place
from fedehr_client.erasure.table import PARTIAL_SUFFIX, find_rows, remove_rows, sync
from fedehr_client.scratch import sweep
from fedehr_shared.errors import DataError
from fedehr_shared.meds.withdrawn import Withdrawn, read_withdrawn, withdrawn_file

ReportStep = Callable[[str], None]
"""Told the name of each step as it begins."""


@dataclass(frozen=True)
class Survey:
    """What an erasure would remove at one site; `subject_ids` never leave the process.

    Attributes:
        found: subjects that the records, splits or labels hold.
        recorded: asked subjects that are recorded as withdrawn already.
        journal: the counts.
        unfinished: an earlier erasure did not end.
    """

    found: frozenset[int]
    recorded: frozenset[int]
    journal: Journal
    unfinished: bool


class SiteErasure:
    """Erases subjects at one place."""

    def __init__(self, place: Place, report_step: ReportStep) -> None:
        self._place = place
        self._report_step = report_step
        self._journal_file = place.records.path / "metadata" / JOURNAL_FILE

    def survey(self, subject_ids: frozenset[int]) -> Survey:
        """Look for these subjects and for any who are recorded as withdrawn; change nothing.

        Raises:
            DataError: a file of the site is damaged.
        """
        self._report_step(f"looking through site {self._place.records.name}")
        known = read_withdrawn(self._place.records)
        withdrawn = known.with_subjects(subject_ids)
        events = find_rows(self._place.data_files, withdrawn)
        labels = find_rows(self._place.label_files, withdrawn)
        splits = find_rows(self._place.split_files, withdrawn)
        found = events.subject_ids | labels.subject_ids | splits.subject_ids
        recorded = frozenset(subject for subject in subject_ids if subject in known)
        journal = Journal(
            num_subjects=len(subject_ids - recorded),
            num_found=len(found),
            num_events=events.num_rows,
            num_labels=labels.num_rows,
            num_caches=len(find_caches(self._place.work)),
        )
        return Survey(found, recorded, journal, read_journal(self._journal_file) is not None)

    def erase(self, subject_ids: frozenset[int]) -> None:
        """Erase these subjects, and whoever an earlier erasure left behind.

        Raises:
            DataError: another erasure is at work, a file is damaged, or the disk is full;
                repeating the command goes on from there.
        """
        with self._place.locked():
            unfinished = read_journal(self._journal_file)
            if unfinished is not None:
                self._finish(unfinished, resumed=True)
            survey = self.survey(subject_ids)
            is_new = survey.recorded != subject_ids
            if is_new or survey.found or (subject_ids and survey.journal.num_caches):
                self._begin(subject_ids, survey.journal)
                self._finish(survey.journal, resumed=False)

    def _begin(self, subject_ids: frozenset[int], journal: Journal) -> None:
        site = self._place.records
        file = withdrawn_file(site)
        try:
            read_withdrawn(site).with_subjects(subject_ids).write(file)
            sync(file.parent)
            journal.write(self._journal_file)
        except OSError as error:
            raise DataError(
                f"cannot write into {file.parent}: {error.strerror}. Mend that and repeat."
            ) from error

    def _finish(self, journal: Journal, *, resumed: bool) -> None:
        place = self._place
        withdrawn = read_withdrawn(place.records)
        self._remove_leftovers()
        self._remove_rows(withdrawn)
        if journal.num_events:
            self._report_step(f"renewing the metadata of site {place.records.name}")
            renew_metadata(place)
        self._report_step(f"removing the token stores of site {place.records.name}")
        remove_caches(place.work)
        facts = {"site": place.records.name, **asdict(journal), "resumed": resumed}
        place.audit.append("erase", facts)
        remove_journal(self._journal_file)

    def _remove_rows(self, withdrawn: Withdrawn) -> None:
        place = self._place
        shards = place.data_files
        files = [*shards, *place.split_files, *place.label_files]
        for number, file in enumerate(files, start=1):
            name = file.relative_to(place.records.path)
            self._report_step(f"site {place.records.name}: {name} ({number} of {len(files)})")
            remove_rows(file, withdrawn, drop_empty=file in shards)

    def _remove_leftovers(self) -> None:
        """What erasures and imports that were killed left holds records, too."""
        beside = self._place.imported.parent
        try:
            for partial in self._place.records.path.rglob(f".*{PARTIAL_SUFFIX}"):
                partial.unlink()
            sweep(beside)
        except OSError as error:
            raise DataError(
                f"cannot remove what a killed program left in {self._place.records.path} or in "
                f"{beside}: {error.strerror}. Remove it, or mend the permissions, and repeat."
            ) from error
