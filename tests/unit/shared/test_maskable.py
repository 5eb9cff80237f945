"""What pre-training may hide, token by token and subject by subject."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedehr_shared.tokens import maskable
from fedehr_shared.tokens.back_off import BackOffShares
from fedehr_shared.tokens.maskable import has_maskable, maskable_tokens
from fedehr_shared.tokens.store import TokenStore
from fedehr_shared.vocabulary.vocabulary import SPECIAL_TOKENS, Vocabulary

VOCABULARY = Vocabulary(
    ("GENDER//M", "HR", "Sex/f", "SEXUAL_HISTORY//1", "SEX//U", "LAB//SEX//F"),
    (None, (100, 200), (100,), None, None, None),
    num_hash_buckets=2,
)


def test_all_tokens_may_be_hidden_but_special_ones_and_all_of_a_sex() -> None:
    hidden_never = {
        name for name, may in zip(VOCABULARY.names, maskable_tokens(VOCABULARY), strict=True)
        if not may
    }  # fmt: skip
    assert hidden_never == {
        *SPECIAL_TOKENS, "GENDER//M", "Sex/f", "Sex/f//Q1", "Sex/f//Q2", "SEX//U",
    }  # fmt: skip


@pytest.mark.parametrize("codes", [(), ("SEX//F",)])
def test_a_vocabulary_may_have_nothing_to_hide(codes: tuple[str, ...]) -> None:
    assert not maskable_tokens(Vocabulary(codes, (None,) * len(codes))).any()


@settings(deadline=None, max_examples=200)
@given(
    lengths=st.lists(st.integers(1, 12), max_size=12),
    seed=st.integers(0, 2**32),
    block=st.integers(1, 20),
)
def test_subjects_are_those_with_such_a_token_however_they_are_read(
    lengths: list[int], seed: int, block: int
) -> None:
    generator = np.random.default_rng(seed)
    is_maskable = generator.random(9) < 0.2
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    size, subjects = int(offsets[-1]), len(lengths)
    tokens = generator.integers(0, 9, size).astype(np.int32)
    store = TokenStore(
        tokens=tokens,
        times=np.zeros(size, np.int64),
        hours=np.zeros(size, np.float32),
        visits=np.zeros(size, np.int32),
        offsets=offsets,
        subject_ids=np.arange(subjects),
        first_ages=np.zeros(subjects, np.float32),
        sexes=np.zeros(subjects, np.uint8),
        back_off=BackOffShares(1.0, 0.0, 0.0, 0.0),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(maskable, "_BLOCK_TOKENS", block)
        found = has_maskable(store, is_maskable)
    assert found.tolist() == [
        any(is_maskable[token] for token in tokens[offsets[row] : offsets[row + 1]])
        for row in range(subjects)
    ]
