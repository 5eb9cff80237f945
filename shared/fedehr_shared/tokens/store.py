"""`TokenStore`: a site's tokens as flat arrays on disk, memory-mapped, written once."""

import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.errors import DataError
from fedehr_shared.tokens.back_off import BackOffShares
from fedehr_shared.tokens.store_file import is_intact, map_array
from fedehr_shared.tokens.store_manifest import Manifest

HOURS_PER_YEAR = 365.25 * 24
MANIFEST_FILE = "manifest.json"


@dataclass(frozen=True)
class TokenStore:
    """One site's sequences, subject after subject.

    Attributes:
        tokens: `[tokens]` int32.
        times: `[tokens]` int64, microseconds since 1970, when the event is known; static tokens
            carry the time of the subject's first timed event, or where there is none the last
            of all times.
        hours: `[tokens]` float32, since the subject's first timed event.
        visits: `[tokens]` int32, ordinal of the hospital stay within the subject, 0 outside.
        offsets: `[subjects + 1]` int64, where each subject's tokens begin.
        subject_ids: `[subjects]` int64, each once, in any order.
        first_ages: `[subjects]` float32, years at the subject's first timed event, NaN where
            unknown. A token's age is `first_ages + hours / HOURS_PER_YEAR`.
        sexes: `[subjects]` uint8: 0 unknown, 1 female, 2 male, 3 another.
        back_off: the share of events at each step of the back-off.
    """

    tokens: NDArray[np.int32]
    times: NDArray[np.int64]
    hours: NDArray[np.float32]
    visits: NDArray[np.int32]
    offsets: NDArray[np.int64]
    subject_ids: NDArray[np.int64]
    first_ages: NDArray[np.float32]
    sexes: NDArray[np.uint8]
    back_off: BackOffShares

    @property
    def num_subjects(self) -> int:
        """The number of subjects."""
        return int(self.subject_ids.size)

    def rows_of(self, subject_ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """The row of each subject, -1 for those that the store does not hold. `[n]` to `[n]`."""
        if self.num_subjects == 0:
            return np.full(subject_ids.size, -1, dtype=np.int64)
        order = np.argsort(self.subject_ids)
        rising = self.subject_ids[order]
        places = np.minimum(np.searchsorted(rising, subject_ids), self.num_subjects - 1)
        return np.where(rising[places] == subject_ids, order[places], -1)

    @classmethod
    def load(cls, folder: Path, about: Mapping[str, str]) -> "TokenStore | None":
        """Map a saved store, or None where there is none or it was made from other things.

        Sizes are compared each time, checksums once a process. Another process may replace the
        store meanwhile: what is mapped is one of the two, whole.

        Raises:
            DataError: the store is damaged; the message names the file.
        """
        while True:
            try:
                descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            except (FileNotFoundError, NotADirectoryError):
                return None
            try:
                return _OpenFolder(folder, descriptor).load(about)
            except _Replaced:
                continue
            finally:
                os.close(descriptor)


class _Replaced(Exception):
    """The folder's name means another folder by now."""


class _OpenFolder:
    """A store's folder held open, so that all files read are of the same one."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    def load(self, about: Mapping[str, str]) -> TokenStore | None:
        manifest = self._manifest()
        if manifest is None or manifest.about != dict(about):
            return None
        with ExitStack() as stack:
            files = {
                name: stack.enter_context(self._open(f"{name}.npy")) for name in manifest.files
            }
            self._check(manifest, files)
            arrays = {name: map_array(files[name], manifest.files[name]) for name in files}
        return TokenStore(**arrays, back_off=manifest.back_off)

    def _manifest(self) -> Manifest | None:
        try:
            with self._open(MANIFEST_FILE) as file:
                return Manifest.from_json(file.read().decode("utf-8"))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise self._damaged(MANIFEST_FILE, "it was changed or cut short") from error

    def _open(self, name: str) -> BinaryIO:
        """Open a file of this folder, even if another has its name by now."""

        def opener(path: str, flags: int) -> int:
            return os.open(path, flags, dir_fd=self._descriptor)

        try:
            return open(name, "rb", opener=opener)
        except FileNotFoundError as error:
            if not self._is_current():
                raise _Replaced from error
            if name == MANIFEST_FILE:
                raise
            raise self._damaged(name, "it is missing") from error
        except OSError as error:
            raise self._damaged(name, f"{error.strerror}") from error

    def _is_current(self) -> bool:
        try:
            return os.path.samestat(self._path.stat(), os.fstat(self._descriptor))
        except FileNotFoundError:
            return False

    def _check(self, manifest: Manifest, files: Mapping[str, BinaryIO]) -> None:
        for name, file in files.items():
            record = manifest.files[name]
            if os.fstat(file.fileno()).st_size != record.num_bytes:
                raise self._damaged(f"{name}.npy", "it has another size than was written")
            if not is_intact(file, record):
                raise self._damaged(f"{name}.npy", "its content is not what was written")

    def _damaged(self, name: str, what: str) -> DataError:
        return DataError(
            f"the token store {self._path} is damaged: {name}: {what}. Remove it and retry; it is "
            "made anew from the records."
        )
