"""`privacy_lines`: a study's promise for a terminal, and what it leaves out."""

from collections.abc import Iterator

from fedehr_simulations.verdict.privacy import PrivacyStatement

_TITLES = {"not_covered": "no protection", "cell_rule": "the cell rule alone"}


def privacy_lines(statement: PrivacyStatement) -> Iterator[str]:
    """The promise; then what has no protection at all, and what has the cell rule's."""
    yield statement.words
    for protection, title in _TITLES.items():
        found = [one for one in statement.not_covered if one.protection == protection]
        named = dict.fromkeys(one.what for one in found)
        if named:
            yield f"not covered by epsilon, {title}: {'; '.join(named)}"
