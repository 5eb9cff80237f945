"""How figures are written for people, the same in the page and in the terminal."""

from fedehr_simulations.verdict.result import Interval, Metric, Scores

METRIC_TITLES: dict[Metric, str] = {"auroc": "AUROC", "auprc": "AUPRC", "brier": "Brier"}


def format_interval(interval: Interval, min_cell: int) -> str:
    """`0.812 (0.77 to 0.85)`, or `withheld (fewer than 11)`."""
    if interval.value is None:
        return withheld(min_cell)
    if interval.low is None or interval.high is None:
        return f"{interval.value:.3f}"
    return f"{interval.value:.3f} ({interval.low:.2f} to {interval.high:.2f})"


def format_difference(interval: Interval, min_cell: int) -> str:
    """`+0.031 (-0.01 to +0.07)`, or `withheld (fewer than 11)`."""
    if interval.value is None:
        return withheld(min_cell)
    if interval.low is None or interval.high is None:
        return f"{interval.value:+.3f}"
    return f"{interval.value:+.3f} ({interval.low:+.3f} to {interval.high:+.3f})"


def format_counts(scores: Scores, min_cell: int) -> str:
    """`40 of 210`: positives of all."""
    if scores.num is None or scores.num_positive is None:
        return withheld(min_cell)
    return f"{scores.num_positive:,} of {scores.num:,}"


def format_count(count: int | None, min_cell: int) -> str:
    """`12,345`, or withheld."""
    return withheld(min_cell) if count is None else f"{count:,}"


def format_share(share: float | None, min_cell: int) -> str:
    """`1.3 %`, or withheld."""
    return withheld(min_cell) if share is None else f"{100 * share:.1f} %"


def format_bytes(num_bytes: float) -> str:
    """`1.2 MB`, in powers of 1,000."""
    for unit in ("B", "kB", "MB", "GB"):
        if num_bytes < 1_000:
            return f"{num_bytes:.0f} {unit}" if unit == "B" else f"{num_bytes:.1f} {unit}"
        num_bytes /= 1_000
    return f"{num_bytes:.1f} TB"


def format_seconds(seconds: float) -> str:
    """`3 min 20 s`."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s"
    hours, rest = divmod(whole, 3_600)
    minutes = f"{rest // 60} min"
    return f"{hours} h {minutes}" if hours else f"{minutes} {rest % 60} s"


def settles_order(difference: Interval) -> bool:
    """Whether a paired interval leaves 0 outside."""
    if difference.low is None or difference.high is None:
        return False
    return difference.low > 0 or difference.high < 0


def withheld(min_cell: int) -> str:
    """What stands where a number must not."""
    return f"withheld (fewer than {min_cell})"
