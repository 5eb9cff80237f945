"""`Withdrawn`: who asked to be left out of a site's records, as keyed hashes.

`metadata/withdrawn.json` holds no subject_id, so that a re-import can leave the subjects out
without anybody reading who they are. The key lies beside the hashes and identifiers are short:
who holds the file and the time to try every identifier can still name them.
"""

import hashlib
import json
import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.errors import DataError
from fedehr_shared.meds.folder import SiteFolder

_FORMAT = 1
_KEY_BYTES = 32
_HASH_BYTES = 16


@dataclass(frozen=True)
class Withdrawn:
    """The withdrawn subjects of one site.

    Attributes:
        key: of the hashes; random, each site its own.
        hashes: BLAKE2b of each subject_id (8 bytes, big-endian, signed) under `key`.
    """

    key: bytes
    hashes: frozenset[bytes]

    def __len__(self) -> int:
        """The number of withdrawn subjects."""
        return len(self.hashes)

    def __contains__(self, subject_id: int) -> bool:
        """Whether the subject has withdrawn."""
        return self._hash(subject_id) in self.hashes

    def mask(self, subject_ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether each subject has withdrawn. `[subjects]` to `[subjects]`."""
        if not self.hashes:
            return np.zeros(subject_ids.shape, dtype=np.bool_)
        found = [self._hash(subject_id) in self.hashes for subject_id in subject_ids.tolist()]
        return np.asarray(found, dtype=np.bool_)

    def with_subjects(self, subject_ids: Iterable[int]) -> "Withdrawn":
        """The same with these subjects too."""
        added = frozenset(self._hash(subject_id) for subject_id in subject_ids)
        return Withdrawn(self.key, self.hashes | added)

    def write(self, file: Path) -> None:
        """Write `file` in one step, readable by its owner only."""
        content = {
            "format": _FORMAT,
            "key": self.key.hex(),
            "subjects": sorted(digest.hex() for digest in self.hashes),
        }
        partial = file.with_name(f".{file.name}-{os.getpid()}")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(json.dumps(content, indent=1) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(file)

    def _hash(self, subject_id: int) -> bytes:
        content = int(subject_id).to_bytes(8, "big", signed=True)
        return hashlib.blake2b(content, key=self.key, digest_size=_HASH_BYTES).digest()


def withdrawn_file(site: SiteFolder) -> Path:
    """`metadata/withdrawn.json`."""
    return site.path / "metadata" / "withdrawn.json"


def read_withdrawn(site: SiteFolder) -> Withdrawn:
    """The site's withdrawn subjects; none, under a new key, where nobody has withdrawn yet.

    Raises:
        DataError: the file is damaged, or of a format that this version does not know.
    """
    file = withdrawn_file(site)
    try:
        return _parse(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Withdrawn(secrets.token_bytes(_KEY_BYTES), frozenset())
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(
            f"cannot read {file}, which says who has withdrawn: it is damaged or of a later "
            "version. Restore it from a backup; without it a re-import would bring them back."
        ) from error


def _parse(text: str) -> Withdrawn:
    content = json.loads(text)
    key = bytes.fromhex(content["key"])
    hashes = frozenset(bytes.fromhex(digest) for digest in content["subjects"])
    lengths = {len(digest) for digest in hashes}
    if content["format"] != _FORMAT or not 0 < len(key) <= 64 or lengths - {_HASH_BYTES}:
        raise ValueError("another format, or a key or hash of the wrong length")
    return Withdrawn(key, hashes)
