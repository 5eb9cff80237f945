"""Splits by subject: one keyed hash for a whole federation folder.

The same key puts a subject on the same side at every site and after every re-import,
whatever other subjects come or go.
"""

import hashlib
from collections.abc import Iterable

from fedehr_shared.meds.schema import HELD_OUT, TRAIN, TUNING

DEFAULT_SPLIT_KEY = "fedehr"
HELD_OUT_SHARE = 0.20
TUNING_SHARE = 0.10


def split_of(subject_id: int, key: str) -> str:
    """`train`, `tuning` or `held_out` for one subject: BLAKE2b keyed with `key`."""
    digest = hashlib.blake2b(
        subject_id.to_bytes(8, "big", signed=True), key=_key_bytes(key), digest_size=8
    ).digest()
    position = int.from_bytes(digest, "big") / 2**64
    if position < HELD_OUT_SHARE:
        return HELD_OUT
    return TUNING if position < HELD_OUT_SHARE + TUNING_SHARE else TRAIN


def split_subjects(subject_ids: Iterable[int], key: str) -> list[str]:
    """`split_of` for each subject, in the order given."""
    return [split_of(subject_id, key) for subject_id in subject_ids]


def _key_bytes(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
