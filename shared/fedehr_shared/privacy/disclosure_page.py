"""`disclosure_page`: the tables of disclosures as Markdown, for docs/privacy.md."""

from collections.abc import Iterable

from fedehr_shared.privacy.disclosure import Disclosure, Protection, Subjects
from fedehr_shared.privacy.disclosures import DISCLOSURES, NOTICES
from fedehr_shared.privacy.engine_disclosures import ENGINE_DISCLOSURES

_WORDS: dict[Protection, str] = {
    "epsilon": "epsilon",
    "cell_rule": "cell rule",
    "public": "public",
    "not_covered": "not covered",
}
_SUBJECTS: dict[Subjects, str] = {
    "training": "training",
    "tuning": "tuning",
    "held_out": "held-out",
    "all": "all",
    "none": "nobody",
}
_ANSWERS = """\
| what | where | unit | phases | about | without noise | with noise | withheld | why |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""
_ENGINE = """\
| what | where | unit | about | protection | why |
| --- | --- | --- | --- | --- | --- |
"""


def answers_table() -> str:
    """What a site's answers hold."""
    return _ANSWERS + _rows(
        (
            one.what, _places(one), one.unit, ", ".join(one.phases), _SUBJECTS[one.subjects],
            _WORDS[one.protection], _WORDS[one.noised], "yes" if one.is_withheld else "",
            one.reason,
        )
        for one in DISCLOSURES
    )  # fmt: skip


def notices_table() -> str:
    """What a site says of a contract."""
    return _ENGINE + _without_phases(NOTICES)


def engine_table() -> str:
    """What the engine sends of its own."""
    return _ENGINE + _without_phases(ENGINE_DISCLOSURES)


def _without_phases(disclosures: Iterable[Disclosure]) -> str:
    return _rows(
        (
            one.what, _places(one), one.unit, _SUBJECTS[one.subjects], _WORDS[one.protection],
            one.reason,
        )
        for one in disclosures
    )  # fmt: skip


def _places(one: Disclosure) -> str:
    return f"`{one.record}`: " + ", ".join(f"`{key}`" for key in one.keys)


def _rows(rows: Iterable[tuple[str, ...]]) -> str:
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)
