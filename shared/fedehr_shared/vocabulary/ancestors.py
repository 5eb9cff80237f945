"""The codes that may stand for a code: those above it, given by the site or by its spelling."""

from collections.abc import Iterator, Mapping

from fedehr_shared.vocabulary.structure import (
    other_spelling,
    structural_ancestors,
    structural_parent,
)


def candidates(code: str, parents: Mapping[str, str]) -> Iterator[str]:
    """The code, then what may stand for it, nearest first; some may come twice."""
    chain = ancestor_chain(code, parents)
    for member in chain:
        yield member
        yield from filter(None, [other_spelling(member)])
    # Parents that lead to another vocabulary hide the code's own tree.
    for member in chain:
        for ancestor in structural_ancestors(member):
            yield ancestor
            yield from filter(None, [other_spelling(ancestor)])


def ancestor_chain(code: str, parents: Mapping[str, str]) -> list[str]:
    """The code and those above it: each one's given parent, else the one that it spells.

    A cycle ends where it closes.
    """
    chain: list[str] = []
    seen: set[str] = set()
    at: str | None = code
    while at is not None and at not in seen:
        chain.append(at)
        seen.add(at)
        at = parents.get(at) or structural_parent(at)
    return chain
