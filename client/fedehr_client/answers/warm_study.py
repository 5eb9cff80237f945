"""`WarmStudy`: what a process keeps of a study between rounds, and never between studies."""

import hashlib
import os
from pathlib import Path

from fedehr_client.answers.site_data import SiteData, keep_vocabulary
from fedehr_client.locator import SiteLocation
from fedehr_client.training.model_shelf import ModelShelf
from fedehr_shared.errors import DataError
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.tokens.store import MANIFEST_FILE
from fedehr_shared.wire.work import Work

_Key = tuple[str, Path, Path, int, str, str, str]


class WarmStudy:
    """The records of one study, opened, and its model. A round begins with both as if they had
    just been made; where anything of the site that they rest on has changed, they are.

    Attributes:
        models: the model.
        num_opened: how often the records had to be opened.
    """

    def __init__(self) -> None:
        """Cold."""
        self.models = ModelShelf()
        self.num_opened = 0
        self._key: _Key | None = None
        self._location: SiteLocation | None = None
        self._data: SiteData | None = None

    def data(self, location: SiteLocation, work: Work) -> SiteData:
        """The site's records as the work's study sees them.

        Raises:
            VocabularyMissingError: the site does not have its vocabulary.
            WireError: the vocabulary is another than its digest names.
            DataError: the records are missing or damaged.
        """
        key = _key(location, work)
        is_warm = key == self._key and _has_store(location)
        if is_warm and self._data is not None and not work.vocabulary_json:
            return self._data
        vocabulary = keep_vocabulary(location.work, work.vocabulary_digest, work.vocabulary_json)
        if is_warm and self._data is not None:
            return self._data
        self.clear_records()
        self._data = SiteData(location, work.study, vocabulary)
        self._key, self._location = key, location
        self.num_opened += 1
        return self._data

    def clear(self) -> None:
        """Keep nothing."""
        self.clear_records()
        self.models.clear()

    def clear_records(self) -> None:
        """Close the records; what is mapped of files that were removed goes with them."""
        self._key = self._location = self._data = None

    def clear_outdated(self) -> None:
        """Close the records if they are not those of the site any more: of somebody who was
        erased nothing may stay, whether another round comes or not."""
        if self._location is None or self._key is None:
            return
        if self._key[-1] != _files(self._location.records) or not _has_store(self._location):
            self.clear_records()


def _key(location: SiteLocation, work: Work) -> _Key:
    """All that opened records rest on. Files are looked at before any is read: what is replaced
    meanwhile differs the next time."""
    return (
        location.name,
        location.records.path,
        location.work,
        location.min_cell,
        work.study.digest,
        work.vocabulary_digest,
        _files(location.records),
    )


def _files(site: SiteFolder) -> str:
    """Changes when events, codes, splits or labels are written again; empty where they are not
    all there, which whoever reads them tells."""
    digest = hashlib.sha256()
    try:
        labels = sorted((site.path / "labels").glob("*.parquet"))
        for file in [*site.data_files, site.codes_file, site.splits_file, *labels]:
            status = os.stat(file)
            about = (str(file), status.st_ino, status.st_size, status.st_mtime_ns)
            digest.update(repr(about).encode())
    except (OSError, DataError):
        return ""
    return digest.hexdigest()


def _has_store(location: SiteLocation) -> bool:
    """An erasure removes the token store. That it was made for another study is no matter: what
    is mapped stays whole."""
    return (location.work / "tokens" / MANIFEST_FILE).is_file()
