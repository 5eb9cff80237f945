"""What a study promises in words: no more than its epsilon says, and all that it leaves out."""

from collections.abc import Callable
from typing import Any

from fedehr_shared.privacy.in_words import privacy_in_words

LOCAL = {
    "mechanism": "local", "target_epsilon": 2.0, "target_delta": 1e-4, "nominal_subjects": 200,
}  # fmt: skip


def test_odds_are_told_with_the_chance_that_they_do_not_hold(
    make_study: Callable[..., Any],
) -> None:
    words = privacy_in_words(make_study(privacy=LOCAL))
    assert "7.39 times at most, but for a chance of about delta" in words
    assert "(delta 0.0001, one subject added or removed)" in words
    assert "the number of training subjects" in words


def test_an_earlier_model_is_named_as_not_covered(make_study: Callable[..., Any]) -> None:
    begun = {"rounds": 0, "reuse": "0" * 64}
    words = privacy_in_words(
        make_study(privacy=LOCAL, pretraining=begun, vocabulary={"reuse": "1" * 64})
    )
    assert "It does not cover the earlier model that it begins from" in words
    assert "earlier model" not in privacy_in_words(make_study(privacy=LOCAL))
