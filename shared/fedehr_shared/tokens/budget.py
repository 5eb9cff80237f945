"""Cutting a stream into pieces that fit a token budget."""

from collections.abc import Sequence


def ranges_within(
    boundaries: Sequence[int], token_budget: int | None, group: int = 1
) -> list[range]:
    """Ranges of sequences, in order, each of at most `token_budget` tokens.

    A range holds whole groups of `group` sequences (the last may be smaller). A single group
    above the budget is a range of its own: what belongs together is never cut.

    Args:
        boundaries: `[sequences + 1]`, where each sequence begins in the stream.
        token_budget: in tokens; None: all in one range.
        group: sequences that must stay together.
    """
    num_sequences = len(boundaries) - 1
    if token_budget is None:
        return [range(num_sequences)]
    found: list[range] = []
    first = 0
    for begin in range(0, num_sequences, group):
        end = min(begin + group, num_sequences)
        if begin > first and boundaries[end] - boundaries[first] > token_budget:
            found.append(range(first, begin))
            first = begin
    found.append(range(first, num_sequences))
    return found
