"""Splits by one keyed hash: stable, in their shares, and another key another split."""

import hashlib
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from fedehr_shared.meds.schema import HELD_OUT, SPLITS, TRAIN, TUNING
from fedehr_shared.meds.splits import HELD_OUT_SHARE, TUNING_SHARE, split_of, split_subjects
from fedehr_shared.seeds import derive_generator, derive_seed

NUM = 20_000


@settings(deadline=None)
@given(subjects=st.lists(st.integers(-(2**63), 2**63 - 1), unique=True), key=st.text(max_size=80))
def test_a_split_depends_on_the_subject_and_the_key_alone(subjects: list[int], key: str) -> None:
    splits = split_subjects(subjects, key)
    assert set(splits) <= set(SPLITS)
    assert splits == [split_of(subject, key) for subject in subjects]
    assert split_subjects(subjects[::-1], key) == splits[::-1]


@settings(deadline=None, max_examples=10)
@given(key=st.text(max_size=20), start=st.integers(-(10**12), 10**12))
def test_shares_are_those_documented(key: str, start: int) -> None:
    counts = Counter(split_subjects(range(start, start + NUM), key))
    shares = {HELD_OUT: HELD_OUT_SHARE, TUNING: TUNING_SHARE}
    shares[TRAIN] = 1 - sum(shares.values())
    for split, share in shares.items():
        spread = 5 * (NUM * share * (1 - share)) ** 0.5
        assert abs(counts[split] - NUM * share) <= spread


def test_a_split_is_the_place_of_one_keyed_hash() -> None:
    # Written out once more: a change of the rule would move subjects at the next import.
    key = hashlib.sha256(b"fedehr").digest()
    for subject in (-1, 0, 1, 2**40, *range(100, 300)):
        told = hashlib.blake2b(subject.to_bytes(8, "big", signed=True), key=key, digest_size=8)
        place = int(told.hexdigest(), 16) / 2**64
        expected = HELD_OUT if place < 0.2 else TUNING if place < 0.3 else TRAIN
        assert split_of(subject, "fedehr") == expected


def test_another_key_splits_otherwise() -> None:
    assert split_subjects(range(200), "one") != split_subjects(range(200), "other")


@settings(deadline=None)
@given(parts=st.lists(st.text(max_size=5) | st.integers(0, 99), min_size=2, max_size=4))
def test_seeds_tell_apart_how_parts_are_cut(parts: list[str | int]) -> None:
    joined = "".join(str(part) for part in parts)
    assert derive_seed(*parts) != derive_seed(joined)
    assert 0 <= derive_seed(*parts) < 2**63
    assert derive_generator(*parts).random() == derive_generator(*parts).random()
