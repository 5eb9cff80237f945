"""Ancestors that a code's own spelling gives: ICD-9, ICD-10 and ATC are trees by prefix.

Only codes whose prefix names such a vocabulary are read so, in the usual spellings:
`ICD10CM//E11.65`, `DIAGNOSIS//ICD//10//E1165`, `ICD-9-CM//250.00`, `ATC//A10BA02`.

Lengths after the vocabularies' own rules: an ICD category has three characters, but four for
the E-codes of ICD-9-CM and two for its procedures (CMS, ICD-9-CM Official Guidelines); ATC
levels have 1, 3, 4, 5 and 7 (WHO Collaborating Centre for Drug Statistics Methodology).
"""

import re
from dataclasses import dataclass
from functools import lru_cache

_SEPARATOR = "//"
_ATC_LENGTHS = (1, 3, 4, 5)
_ATC_CATEGORY = 5
_VOCABULARY = re.compile(
    r"ICD(?P<number>9|10)(?P<kind>|CM|PCS|PROC|PROCCN|GM|WHO|CN|AM|CA)|(?P<atc>ATC)"
)
_ICD = re.compile(r"(?=[^.]*\.?[^.]*$)(?:\.?[A-Z0-9]){2,7}", re.IGNORECASE | re.ASCII)
_ATC = re.compile(r"[A-Z](\d{2}([A-Z]([A-Z](\d{2})?)?)?)?", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class _Parsed:
    """A code taken apart: `prefix` up to the last separator, then `body`; all of one tree."""

    prefix: str
    body: str
    lengths: tuple[int, ...]
    category: int
    point_after: int | None

    def cut(self, length: int) -> str:
        """The code of the first `length` characters, in the same spelling."""
        plain = self.body.replace(".", "")[:length]
        if "." in self.body and self.point_after is not None and length > self.point_after:
            plain = f"{plain[: self.point_after]}.{plain[self.point_after :]}"
        return self.prefix + plain


def structural_ancestors(code: str) -> tuple[str, ...]:
    """The codes above `code` by its spelling, nearest first; none for other vocabularies.

    A code with a point has ancestors with a point, one without has none with one.
    """
    parsed = _parse(code)
    if parsed is None:
        return ()
    size = len(parsed.body.replace(".", ""))
    return tuple(parsed.cut(length) for length in reversed(parsed.lengths) if length < size)


def structural_parent(code: str) -> str | None:
    """The nearest of `structural_ancestors`."""
    ancestors = structural_ancestors(code)
    return ancestors[0] if ancestors else None


def category_of(code: str) -> str | None:
    """The category above `code`: ICD's three characters, ATC's fourth level; else None."""
    parsed = _parse(code)
    if parsed is None or len(parsed.body.replace(".", "")) <= parsed.category:
        return None
    return parsed.cut(parsed.category)


def other_spelling(code: str) -> str | None:
    """An ICD code without its point if it has one, with it if it has none; None for others."""
    parsed = _parse(code)
    if parsed is None or parsed.point_after is None:
        return None
    if "." in parsed.body:
        return parsed.prefix + parsed.body.replace(".", "")
    if len(parsed.body) <= parsed.point_after:
        return None
    split = parsed.point_after
    return f"{parsed.prefix}{parsed.body[:split]}.{parsed.body[split:]}"


@lru_cache(maxsize=65_536)
def _parse(code: str) -> _Parsed | None:
    head, separator, body = code.rpartition(_SEPARATOR)
    parts = [re.sub(r"[-_ ]", "", part).upper() for part in head.split(_SEPARATOR)]
    if not separator or not body:
        return None
    name = "".join(parts[-2:]) if parts[-1] in {"9", "10"} else parts[-1]
    found = _VOCABULARY.fullmatch(name)
    if found is None:
        return None
    prefix = head + separator
    if found["atc"]:
        whole = _ATC.fullmatch(body) is not None
        return _Parsed(prefix, body, _ATC_LENGTHS, _ATC_CATEGORY, None) if whole else None
    if _ICD.fullmatch(body) is None:
        return None
    is_procedure = found["kind"] in {"PCS", "PROC", "PROCCN"} or parts[0].startswith("PROCEDURE")
    category = _icd_category(found["number"], body, is_procedure)
    if "." in body and body.index(".") != category:
        return None
    size = len(body.replace(".", ""))
    # ICD-10-PCS has no point, and each of its seven characters is an axis of its own.
    point = None if is_procedure and found["number"] == "10" else category
    return _Parsed(prefix, body, tuple(range(category, max(size, category))), category, point)


def _icd_category(number: str, body: str, is_procedure: bool) -> int:
    if number == "9" and is_procedure:
        return 2
    return 4 if number == "9" and body[0] in "Ee" else 3
