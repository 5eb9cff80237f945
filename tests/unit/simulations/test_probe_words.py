"""Sentences claim what their intervals settle, as they are told, and nothing else."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedehr_shared.errors import UsageError
from fedehr_simulations.probe.record import Worth
from fedehr_simulations.probe.request import parse_label_numbers
from fedehr_simulations.probe.words import describe_worth
from fedehr_simulations.verdict.result import Interval

AT = Interval(value=0.7, low=0.6, high=0.8)


def _worth(over_untrained: Interval, over_bag: Interval, num_labels: int | None = 64) -> Worth:
    return Worth(
        task="death",
        num_labels=num_labels,
        num_draws=1,
        trained=AT,
        untrained=AT,
        bag=AT,
        over_untrained=over_untrained,
        over_bag=over_bag,
    )


def _interval(value: float, low: float, high: float) -> Interval:
    return Interval(value=value, low=low, high=high)


def test_a_gain_is_told_with_its_bounds_and_the_bag_from_its_own_side() -> None:
    gain, ahead = _interval(0.041, 0.02, 0.063), _interval(0.012, 0.003, 0.022)
    sentence, summary = describe_worth([_worth(gain, ahead)], "pre-training")
    assert sentence == (
        "death, 64 labels: pre-training is worth +4.1 AUROC points (2.0 to 6.3) over the same net "
        "untrained; a bag of codes is 1.2 points behind (0.3 to 2.2)."
    )
    assert "is shown in 1; it is ahead of a bag of codes in 1 and behind in 0" in summary
    behind = _interval(-0.05, -0.08, -0.02)
    (sentence, _) = describe_worth([_worth(gain, behind, None)], "pre-training")
    assert sentence.startswith("death, all labels:")
    assert sentence.endswith("a bag of codes is 5.0 points ahead (2.0 to 8.0).")


def test_harm_is_told_as_harm() -> None:
    harm = _interval(-0.03, -0.05, -0.01)
    (sentence, _) = describe_worth([_worth(harm, harm)], "pre-training")
    assert "makes it worse: -3.0 AUROC points (-5.0 to -1.0)" in sentence


def test_what_is_withheld_is_told_with_its_reason_alone() -> None:
    none = Interval.withheld("fewer than 11 positives")
    one = _worth(none, none).model_copy(update={"trained": none})
    assert describe_worth([one], "pre-training") == (
        "death, 64 labels: withheld (fewer than 11 positives).",
    )


@given(bounds=st.lists(st.floats(-0.5, 0.5), min_size=3, max_size=3).map(sorted))
def test_no_order_is_claimed_unless_the_told_interval_leaves_out_zero(
    bounds: list[float],
) -> None:
    low, value, high = bounds
    gain = _interval(value, low, high)
    (sentence, _) = describe_worth([_worth(gain, gain)], "pre-training")
    first, second = sentence.split(";")
    figures = [float(part) for part in re.findall(r"[-+]?\d+\.\d", first)][-2:]
    claims_gain, claims_harm = "is worth" in first, "makes it worse" in first
    assert claims_gain == (min(figures) > 0)
    assert claims_harm == (max(figures) < 0)
    assert ("neither" in second) == (not claims_gain and not claims_harm)
    assert (" behind (" in second) == claims_gain
    assert (" ahead (" in second) == claims_harm


def test_numbers_of_labels_are_read_once_each_and_rising() -> None:
    assert parse_label_numbers("256, all,64,256") == (64, 256, None)
    for wrong in ("0", "-1", "many", "6.5", "64,x"):
        with pytest.raises(UsageError, match="64,256,all"):
            parse_label_numbers(wrong)
