"""Cutting a stream into pieces that fit a token budget."""

from collections.abc import Sequence

from fedehr_shared.errors import ConfigError


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


def check_budget(token_budget: int | None, context: int) -> None:
    """Refuse a budget that the longest sequence of the study does not fit into.

    `ranges_within` would put such a sequence into a piece of its own, above the budget.

    Args:
        token_budget: in tokens; None: none is set.
        context: the longest sequence, in tokens.

    Raises:
        ConfigError: the budget is below the context.
    """
    if token_budget is not None and token_budget < context:
        raise ConfigError(
            f"[compute] token_budget = {token_budget} of the site file is below the study's "
            f"[sequence] context = {context}: the longest sequence would not fit. Set it to "
            f"{context} or more, or to 'auto'; or agree on a shorter context."
        )
