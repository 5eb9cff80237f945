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

_ARRAYS = ("tokens", "times", "hours", "visits", "offsets", "subject_ids", "first_ages")
_MANIFEST = "manifest.json"
HOURS_PER_YEAR = 365.25 * 24


@dataclass(frozen=True)
class TokenStore:
    """One site's sequences, subject after subject.

    Attributes:
        tokens: `[tokens]` int32.
        times: `[tokens]` int64, microseconds since 1970, when the event is known; static tokens
            carry the time of the subject's first timed event.
        hours: `[tokens]` float32, since the subject's first timed event.
        visits: `[tokens]` int32, ordinal of the hospital stay within the subject, 0 outside.
        offsets: `[subjects + 1]` int64, where each subject's tokens begin.
        subject_ids: `[subjects]` int64, each once, in any order.
        first_ages: `[subjects]` float32, years at the subject's first timed event, NaN where
            unknown. A token's age is `first_ages + hours / HOURS_PER_YEAR`.
        back_off: the share of events at each step of the back-off.
    """

    tokens: NDArray[np.int32]
    times: NDArray[np.int64]
    hours: NDArray[np.float32]
    visits: NDArray[np.int32]
    offsets: NDArray[np.int64]
    subject_ids: NDArray[np.int64]
    first_ages: NDArray[np.float32]
    back_off: BackOffShares

    @property
    def num_subjects(self) -> int:
        """The number of subjects."""
        return int(self.subject_ids.size)

    def rows_of(self, subject_ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """The row of each subject, -1 for those that the store does not hold. `[n]` to `[n]`."""
        order = np.argsort(self.subject_ids)
        rising = self.subject_ids[order]
        places = np.minimum(np.searchsorted(rising, subject_ids), self.num_subjects - 1)
        return np.where(rising[places] == subject_ids, order[places], -1)

    def save(self, folder: Path, about: Mapping[str, str]) -> None:
        """Write the store; it appears under its name only when complete."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            for name in _ARRAYS:
                np.save(partial / f"{name}.npy", getattr(self, name))
            manifest = {"format": 2, **about, "back_off": asdict(self.back_off)}
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
        num_tokens = {array.size for array in (self.tokens, self.times, self.hours, self.visits)}
        num_subjects = {self.subject_ids.size, self.first_ages.size, self.offsets.size - 1}
        if num_tokens != {int(self.offsets[-1])} or len(num_subjects) != 1:
            raise ValueError("the arrays differ in length")
