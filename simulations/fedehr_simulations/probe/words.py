"""What a probe found, in plain sentences that claim no more than their intervals."""

from collections.abc import Sequence

from fedehr_simulations.probe.record import Worth
from fedehr_simulations.verdict.result import Interval

EACH_BY_ITSELF = (
    "Each interval covers 95 % by itself, over subjects and draws of labels: of twenty, one may "
    "miss. The first weights are one draw, and no interval tells of others."
)


def describe_worth(worth: Sequence[Worth], training: str) -> tuple[str, ...]:
    """A sentence a task and number of labels, then how many of them show a gain.

    Args:
        worth: what was measured.
        training: what the encoder went through, as `pre-training`.
    """
    told = [one for one in worth if one.trained.value is not None]
    sentences = [_describe(one, training) for one in worth]
    if not told:
        return tuple(sentences)
    over_net = sum(_order(one.over_untrained) > 0 for one in told)
    over_bag = sum(_order(one.over_bag) > 0 for one in told)
    behind_bag = sum(_order(one.over_bag) < 0 for one in told)
    sentences.append(
        f"Of {len(told)} comparisons: a gain of {training} over the same net untrained is shown in "
        f"{over_net}; it is ahead of a bag of codes in {over_bag} and behind in {behind_bag}. "
        f"{EACH_BY_ITSELF}"
    )
    return tuple(sentences)


def labels_in_words(num_labels: int | None) -> str:
    """`64 labels`, `all labels`."""
    return "all labels" if num_labels is None else f"{num_labels:,} labels"


def points(value: float) -> float:
    """An AUROC in points, to the one decimal that is told."""
    return round(100 * value, 1)


def _describe(one: Worth, training: str) -> str:
    head = f"{one.task}, {labels_in_words(one.num_labels)}:"
    if one.trained.value is None:
        return f"{head} withheld ({one.trained.reason})."
    return f"{head} {_over_untrained(one.over_untrained, training)}; {_bag(one.over_bag)}."


def _over_untrained(gain: Interval, training: str) -> str:
    order = _order(gain)
    if order > 0:
        return (
            f"{training} is worth {_signed(gain)} AUROC points {_bounds(gain)} over the same net "
            "untrained"
        )
    if order < 0:
        return (
            f"{training} makes it worse: {_signed(gain)} AUROC points {_bounds(gain)} against the "
            "same net untrained"
        )
    return (
        f"no gain of {training} over the same net untrained is shown: {_signed(gain)} AUROC "
        f"points {_bounds(gain)}"
    )


def _bag(gain: Interval) -> str:
    """`gain` is of the encoder over the bag."""
    order = _order(gain)
    if order == 0:
        return (
            "a bag of codes is neither shown to be ahead nor behind: "
            f"{_signed(_turned(gain))} points {_bounds(_turned(gain))}"
        )
    far = gain if order > 0 else _turned(gain)
    side = "behind" if order > 0 else "ahead"
    return f"a bag of codes is {points(_value(far)):.1f} points {side} {_bounds(far)}"


def _order(gain: Interval) -> int:
    """1 above 0, -1 below, 0 where the interval, as it is told, does not leave 0 out."""
    if gain.low is None or gain.high is None:
        return 0
    return int(points(gain.low) > 0) - int(points(gain.high) < 0)


def _turned(gain: Interval) -> Interval:
    if gain.value is None or gain.low is None or gain.high is None:
        return gain
    return Interval(value=-gain.value, low=-gain.high, high=-gain.low)


def _value(gain: Interval) -> float:
    return 0.0 if gain.value is None else gain.value


def _signed(gain: Interval) -> str:
    return f"{points(_value(gain)) + 0.0:+.1f}"


def _bounds(gain: Interval) -> str:
    """Signs are told where they differ."""
    if gain.low is None or gain.high is None:
        return "(no interval)"
    low, high = points(gain.low) + 0.0, points(gain.high) + 0.0
    sign = "" if low >= 0 else "+"
    return f"({low:{sign}.1f} to {high:{sign}.1f})"
