"""Which tokens are of one code."""

import pytest

from fedehr_shared.errors import WireError
from fedehr_shared.vocabulary.vocabulary import Vocabulary


@pytest.mark.parametrize("num_hash_buckets", [0, 3])
def test_a_code_and_its_value_bins_share_a_number_and_nothing_else_does(
    num_hash_buckets: int,
) -> None:
    vocabulary = Vocabulary(("A", "B", "C", "D"), (None, (3, 90), (), None), num_hash_buckets)
    numbers = vocabulary.code_of_token.tolist()
    assert len(numbers) == vocabulary.num_tokens
    owners = [name.split("//Q")[0] for name in vocabulary.names]
    for name, number in zip(owners, numbers, strict=True):
        for other_name, other in zip(owners, numbers, strict=True):
            assert (number == other) == (name == other_name)


@pytest.mark.parametrize("num_hash_buckets", [-1, 4_097, 10**12])
def test_a_vocabulary_of_more_buckets_than_a_study_may_ask_for_is_refused(
    num_hash_buckets: int,
) -> None:
    with pytest.raises(WireError, match="buckets"):
        Vocabulary(("A",), (None,), num_hash_buckets)
