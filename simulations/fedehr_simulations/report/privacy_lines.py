"""`privacy_lines`: a study's promise for a terminal, and what it leaves out."""

from collections.abc import Iterator

from fedehr_simulations.verdict.privacy import EpsilonFigures, PrivacyStatement

_TITLES = {"not_covered": "no protection", "cell_rule": "the cell rule alone"}


def privacy_lines(statement: PrivacyStatement) -> Iterator[str]:
    """The promise; what was spent; what has no protection at all; what has the cell rule's."""
    yield statement.words
    yield from spent_lines(statement)
    for protection, title in _TITLES.items():
        found = [one for one in statement.not_covered if one.protection == protection]
        named = dict.fromkeys(one.what for one in found)
        if named:
            yield f"not covered by epsilon, {title}: {'; '.join(named)}"


def spent_lines(statement: PrivacyStatement) -> Iterator[str]:
    """What the run has spent, by the coordinator's record; sites that spent alike in one line."""
    name = f"{statement.unit}_epsilon"
    relation = f"one {statement.unit} added or removed"
    for spent in dict.fromkeys(statement.spent.values()):
        sites = ", ".join(site for site, own in statement.spent.items() if own == spent)
        num = f"{spent.num_rounds} round" + ("s" if spent.num_rounds != 1 else "")
        yield (
            f"spent at {sites}, in {num}: {name} {_accounts(spent)} "
            f"(delta {statement.delta:g}, {relation})"
        )
        both = spent.with_vocabulary
        if both is not None:
            yield (
                f"with the noisy vocabulary, at {sites}: {name} {_accounts(both)} "
                f"(delta {both.delta:g}, {relation})"
            )


def _accounts(found: EpsilonFigures) -> str:
    return f"{found.epsilon:.4f} by RDP, {found.optimistic:.4f} to {found.pessimistic:.4f} by PLD"
