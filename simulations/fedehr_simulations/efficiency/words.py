"""What an efficiency record says in words, above all where pre-training is not ahead."""

from collections.abc import Sequence

from fedehr_simulations.efficiency.record import EfficiencyRecord, Gain
from fedehr_simulations.efficiency.tables import name_of, place_name


def in_words(record: EfficiencyRecord) -> list[str]:
    """One line a place and reference: where pre-training is ahead, not told apart, behind."""
    lines = []
    for place in record.num_scored:
        own = [gain for gain in record.gains if gain.place == place]
        for reference in dict.fromkeys(gain.reference for gain in own):
            told = [gain for gain in own if gain.reference == reference]
            lines.append(
                f"Pre-trained against {reference}, {place_name(record, place)}: {_by(told)}."
            )
    return lines


def is_ahead(gain: Gain) -> bool | None:
    """Whether pre-training is ahead; None where the paired interval holds 0."""
    low, high = gain.auroc_points.low, gain.auroc_points.high
    if low is None or high is None or low <= 0 <= high:
        return None
    return low > 0


def _by(gains: Sequence[Gain]) -> str:
    groups = {"ahead": True, "NOT ahead (behind)": False, "NOT ahead (not told apart)": None}
    told = [
        f"{words} with {_cells(own)}"
        for words, verdict in groups.items()
        if (own := [gain for gain in gains if is_ahead(gain) is verdict])
    ]
    return "; ".join(told)


def _cells(gains: Sequence[Gain]) -> str:
    """`64 and 256 labels for death`, task after task."""
    parts = []
    for task in dict.fromkeys(gain.task for gain in gains):
        numbers = [name_of(gain.num_labels) for gain in gains if gain.task == task]
        parts.append(f"{', '.join(numbers)} labels for {task}")
    return ", ".join(parts)
