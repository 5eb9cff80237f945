"""`TokenStore`: a site's tokens as flat arrays on disk, memory-mapped, written once."""

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.errors import DataError
from fedehr_shared.tokens.back_off import BackOffShares

_ARRAYS = ("tokens", "times", "ages", "visits", "offsets", "subject_ids")
_MANIFEST = "manifest.json"


@dataclass(frozen=True)
class TokenStore:
    """One site's sequences, subject after subject.

    Attributes:
        tokens: `[tokens]` int32.
        times: `[tokens]` int64, microseconds since 1970; static tokens carry the time of the
            subject's first event.
        ages: `[tokens]` float32, years at the event; NaN where the birth is unknown.
        visits: `[tokens]` int32, ordinal of the hospital stay within the subject, 0 outside.
        offsets: `[subjects + 1]` int64, where each subject's tokens begin.
        subject_ids: `[subjects]` int64, rising.
        back_off: the share of events at each step of the back-off.
    """

    tokens: NDArray[np.int32]
    times: NDArray[np.int64]
    ages: NDArray[np.float32]
    visits: NDArray[np.int32]
    offsets: NDArray[np.int64]
    subject_ids: NDArray[np.int64]
    back_off: BackOffShares

    @property
    def num_subjects(self) -> int:
        """The number of subjects."""
        return int(self.subject_ids.size)

    def rows_of(self, subject_ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """The row of each subject, -1 for those that the store does not hold. `[n]` to `[n]`."""
        rows = np.searchsorted(self.subject_ids, subject_ids)
        rows = np.minimum(rows, self.num_subjects - 1)
        return np.where(self.subject_ids[rows] == subject_ids, rows, -1)

    def save(self, folder: Path, about: Mapping[str, str]) -> None:
        """Write the store; it appears under its name only when complete."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            for name in _ARRAYS:
                np.save(partial / f"{name}.npy", getattr(self, name))
            manifest = {"format": 1, **about, "back_off": asdict(self.back_off)}
            (partial / _MANIFEST).write_text(json.dumps(manifest, indent=2), encoding="utf-8")
            shutil.rmtree(folder, ignore_errors=True)
            partial.rename(folder)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise

    @classmethod
    def load(cls, folder: Path, about: Mapping[str, str]) -> "TokenStore | None":
        """Map a saved store, or None where there is none or it was made from other things.

        Raises:
            DataError: the store is damaged.
        """
        if not (folder / _MANIFEST).is_file():
            return None
        try:
            manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
            if any(manifest.get(key) != value for key, value in about.items()):
                return None
            arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _ARRAYS}
            store = cls(**arrays, back_off=BackOffShares(**manifest["back_off"]))
            store._check_sizes()
        except (OSError, EOFError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise DataError(f"the token store {folder} is damaged. Remove it and retry.") from error
        return store

    def _check_sizes(self) -> None:
        sizes = {array.size for array in (self.tokens, self.times, self.ages, self.visits)}
        if sizes != {int(self.offsets[-1])} or self.offsets.size != self.num_subjects + 1:
            raise ValueError("the arrays differ in length")
