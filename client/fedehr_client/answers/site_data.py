"""`SiteData`: a site's records as a study sees them, with its token store kept between rounds."""

import hashlib
import logging
import os
from functools import cached_property
from pathlib import Path

import numpy as np

from fedehr_client.locator import SiteLocation
from fedehr_client.tasks.cohort import read_cohort_labels
from fedehr_client.training.batches import PretrainingData
from fedehr_client.training.examples import Examples, select_examples, trainable
from fedehr_shared.cells import cell_of
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import TooFewSubjectsError, VocabularyMissingError, WireError
from fedehr_shared.meds.code_table import read_codes
from fedehr_shared.meds.event_stream import stream_events
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.meds.reader import Labels, read_splits
from fedehr_shared.meds.schema import TRAIN
from fedehr_shared.tokens.build_lock import build_lock
from fedehr_shared.tokens.maskable import has_maskable, maskable_tokens
from fedehr_shared.tokens.sequences import build_store
from fedehr_shared.tokens.store import TokenStore
from fedehr_shared.vocabulary.vocabulary import Vocabulary

log = logging.getLogger("fedehr.client")

_NOTHING_TO_HIDE = (
    "none of the training subjects has an event that pre-training may hide: all are codes that "
    "the study's vocabulary does not know, or the sex, so that nothing would be learnt. Agree on "
    "the vocabulary anew with this site taking part (without [vocabulary] reuse), raise "
    "[vocabulary] num_hash_buckets, or check that the import took the right tables."
)


class SiteData:
    """Token store, splits and labelled examples of one site for one study."""

    def __init__(self, location: SiteLocation, study: StudyConfig, vocabulary: Vocabulary) -> None:
        self._site = location.records
        self._study = study
        self.min_cell = cell_of(study.vocabulary.min_cell, location.min_cell)
        self._splits = read_splits(location.records)
        self._code_of_token = vocabulary.code_of_token
        self._is_maskable = maskable_tokens(vocabulary)
        self.num_tokens = vocabulary.num_tokens
        self._records = records_fingerprint(self._site)
        self.store = self._open_store(location.work, vocabulary)
        self._examples: dict[str, Examples] = {}

    def pretraining(self) -> PretrainingData:
        """The training subjects with an event that may be hidden; of others nothing is learnt.

        With noise they are all training subjects: which events may be hidden follows from the
        vocabulary that came with the request, and whether somebody has one of them must be told
        by noisy steps alone. One who has none adds nothing to a step.

        Raises:
            TooFewSubjectsError: there are fewer than `min_cell`.
        """
        return self._pretraining

    @cached_property
    def _pretraining(self) -> PretrainingData:
        subjects = self.store.subject_ids
        in_train = [self._splits.get(subject) == TRAIN for subject in subjects.tolist()]
        rows = np.flatnonzero(in_train)
        self._require(rows.size, "training subjects")
        able = rows[has_maskable(self.store, self._is_maskable)[rows]]
        if self._study.privacy.is_private("pretraining"):
            if able.size == 0:
                log.warning("noise alone is learnt from: %s", _NOTHING_TO_HIDE)
        else:
            self._require_able(able.size)
            rows = able
        return PretrainingData(self.store, rows, self._code_of_token, self._is_maskable)

    def _require_able(self, num: int) -> None:
        """None and a few are told alike: the vocabulary in a request may have one code alone."""
        if num == 0:
            raise TooFewSubjectsError(_NOTHING_TO_HIDE)
        self._require(num, "training subjects with an event that pre-training may hide")

    def examples(self, split: str) -> Examples:
        """The labelled examples of a split, possibly none.

        Raises:
            MissingTaskError: the site has labels for none of the study's tasks.
        """
        if split not in self._examples:
            self._examples[split] = select_examples(
                self.store,
                self._labels,
                tasks=self._study.finetuning.tasks,
                splits=self._splits,
                split=split,
                context=self._study.sequence.context,
            )
        return self._examples[split]

    @cached_property
    def _labels(self) -> dict[str, Labels]:
        """By task, the labels of the study's cohort."""
        return read_cohort_labels(self._site, self._study.tasks_by_name, self._study.cohort)

    def training_examples(self) -> Examples:
        """The labelled examples of the train split, of tasks with enough of them.

        With noise in fine-tuning they are of all tasks: whether one subject's label is there must
        not decide what is learnt of the others'.

        Raises:
            TooFewSubjectsError: no task has `min_cell`; or with noise all together have fewer.
        """
        examples = self.examples(TRAIN)
        if self._study.privacy.is_private("finetuning"):
            num_subjects = np.unique(examples.subject_ids).size
            self._require(num_subjects, "labelled training subjects")
            return examples
        has_events = self.store.rows_of(examples.subject_ids) >= 0
        examples = trainable(examples, has_events, self.min_cell)
        self._require(len(examples), "labelled training subjects of any task")
        return examples

    @property
    def is_outdated(self) -> bool:
        """Whether the site's records were written again since, by an import or an erasure."""
        return records_fingerprint(self._site) != self._records

    def _require(self, num: int, what: str) -> None:
        if num < self.min_cell:
            raise TooFewSubjectsError(
                f"the site has fewer than min_cell = {self.min_cell} {what}. "
                "It cannot take part in this phase; add records or labels."
            )

    def _open_store(self, work: Path, vocabulary: Vocabulary) -> TokenStore:
        about = {
            "vocabulary": vocabulary.digest,
            "sequence": self._study.sequence.model_dump_json(),
            "records": self._records,
            "min_cell": str(self.min_cell),
        }
        folder = work / "tokens"
        store = TokenStore.load(folder, about)
        return self._build_store(folder, about, vocabulary) if store is None else store

    def _build_store(
        self, folder: Path, about: dict[str, str], vocabulary: Vocabulary
    ) -> TokenStore:
        with build_lock(folder):
            # Another process may have built it while this one waited.
            store = TokenStore.load(folder, about)
            if store is None:
                codes = read_codes(self._site)
                build_store(
                    stream_events(self._site, codes),
                    codes,
                    vocabulary,
                    self._study.sequence,
                    min_cell=self.min_cell,
                    folder=folder,
                    about=about,
                )
                store = TokenStore.load(folder, about)
        if store is None or self.is_outdated:
            raise WireError(
                f"the records, or the token store {folder} itself, changed while it was made. "
                "Try again."
            )
        return store


def records_fingerprint(site: SiteFolder) -> str:
    """Changes when the site's events or codes are written again.

    Raises:
        OSError: they cannot be found.
    """
    digest = hashlib.sha256()
    for file in [*site.data_files, site.codes_file]:
        status = os.stat(file)
        digest.update(f"{file.name}:{status.st_size}:{status.st_mtime_ns};".encode())
    return digest.hexdigest()


def keep_vocabulary(work: Path, digest: str, text: str) -> Vocabulary:
    """The study's vocabulary: from the message, or from an earlier round.

    Raises:
        VocabularyMissingError: neither has it; the coordinator sends it again.
        WireError: the text does not have this digest.
    """
    file = work / "vocabulary.json"
    if text:
        vocabulary = Vocabulary.from_json(text)
        if vocabulary.digest != digest:
            raise WireError("the vocabulary in the message is not the one that its digest names.")
        work.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(f".{os.getpid()}")
        partial.write_text(text, encoding="utf-8")
        partial.replace(file)
        return vocabulary
    if file.is_file():
        vocabulary = Vocabulary.from_json(file.read_text(encoding="utf-8"))
        if vocabulary.digest == digest:
            return vocabulary
    raise VocabularyMissingError("the site does not hold this study's vocabulary yet.")
