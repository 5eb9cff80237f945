"""`StoreWriter`: a token store's files, written as the sequences come."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.errors import DataError
from fedehr_shared.tokens.back_off import BackOffShares
from fedehr_shared.tokens.store import MANIFEST_FILE
from fedehr_shared.tokens.store_file import ArrayWriter
from fedehr_shared.tokens.store_manifest import DTYPES, Manifest


@dataclass(frozen=True)
class Sequences:
    """Some subjects' tokens, as `TokenStore` holds them.

    Attributes:
        tokens: `[tokens]`.
        times: `[tokens]`.
        hours: `[tokens]`.
        visits: `[tokens]`.
        lengths: `[subjects]`, tokens of each, at least one.
        subject_ids: `[subjects]`.
        first_ages: `[subjects]`.
        sexes: `[subjects]`.
    """

    tokens: NDArray[np.int32]
    times: NDArray[np.int64]
    hours: NDArray[np.float32]
    visits: NDArray[np.int32]
    lengths: NDArray[np.int64]
    subject_ids: NDArray[np.int64]
    first_ages: NDArray[np.float32]
    sexes: NDArray[np.uint8]


class StoreWriter:
    """Writes one store into an empty folder; nothing but the current sequences is in memory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = ExitStack()
        self._writers: dict[str, ArrayWriter] = {}
        self._num_subjects = 0
        self._num_tokens = 0

    def __enter__(self) -> "StoreWriter":
        """Open the files."""
        try:
            for name, dtype in DTYPES.items():
                path = self._folder / f"{name}.npy"
                file = self._files.enter_context(path.open("xb", buffering=0))
                self._writers[name] = ArrayWriter(file, dtype)
            self._writers["offsets"].append(np.zeros(1, dtype=np.int64))
        except OSError as error:
            self._files.close()
            raise self._cannot_write(error) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the files."""
        self._files.close()

    def append(self, sequences: Sequences) -> None:
        """Write more subjects.

        Raises:
            DataError: the disk is full, or cannot be written.
        """
        offsets = self._num_tokens + np.cumsum(sequences.lengths)
        self._num_subjects += sequences.lengths.size
        self._num_tokens += sequences.tokens.size
        try:
            self._writers["offsets"].append(offsets)
            for name in DTYPES.keys() - {"offsets"}:
                self._writers[name].append(getattr(sequences, name))
        except OSError as error:
            raise self._cannot_write(error) from error

    def finish(self, about: Mapping[str, str], back_off: BackOffShares) -> None:
        """Write the headers and the manifest.

        Raises:
            DataError: the disk is full, or cannot be written.
        """
        try:
            manifest = Manifest(
                about=dict(about),
                num_subjects=self._num_subjects,
                num_tokens=self._num_tokens,
                back_off=back_off,
                files={name: writer.finish() for name, writer in self._writers.items()},
            )
            (self._folder / MANIFEST_FILE).write_text(manifest.to_json(), encoding="utf-8")
        except OSError as error:
            raise self._cannot_write(error) from error

    def _cannot_write(self, error: OSError) -> DataError:
        return DataError(
            f"cannot write the token store in {self._folder.parent}: {error.strerror}. Free space "
            "there, or mend its permissions, and try again."
        )
