"""`CodeTemplate`: how a code is put together, written as one line.

`LAB//{itemid}//{valueuom?}` is the literal `LAB`, the column `itemid` and the column
`valueuom`, joined by `//`. In braces stands a column, then what happens when it is empty:
nothing (the row has no code and is left out), `?` (the part is left out) or `|text` (the
text takes its place). A form may follow the column: `{icd_code:icd10cm}`.
"""

import re
from dataclasses import dataclass
from typing import Literal, cast, get_args

Form = Literal["icd9cm", "icd9proc", "icd10cm", "lower", "upper"]
"""How a column's text is spelled: letters' case, or the dot that billing tables leave out."""
SEPARATOR = "//"
_FIELD = re.compile(
    r"\{(?P<column>[^{}:?|]+)(?::(?P<form>[^{}:?|]*))?(?P<empty>\?|\|(?P<default>[^{}|]+))?\}"
)


@dataclass(frozen=True)
class CodeField:
    """A column within a part of a code.

    Attributes:
        column: as the mapping names it (`column` or `table.column`).
        form: how it is spelled, or None: as it is.
        default: what stands for an empty cell, or None.
        optional: an empty cell leaves the whole part out.
    """

    column: str
    form: Form | None = None
    default: str | None = None
    optional: bool = False


CodePart = tuple[str | CodeField, ...]
"""Literal pieces and columns, written one after the other."""


@dataclass(frozen=True)
class CodeTemplate:
    """The parts of a code, joined by `//`."""

    parts: tuple[CodePart, ...]

    @classmethod
    def parse(cls, text: str) -> "CodeTemplate":
        """Read a template.

        Raises:
            ValueError: a part is empty, a brace is open, or a form is unknown.
        """
        return cls(tuple(_parse_part(part) for part in text.split(SEPARATOR)))

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that the template reads."""
        return tuple(
            piece.column for part in self.parts for piece in part if isinstance(piece, CodeField)
        )

    @property
    def prefix(self) -> str:
        """The literal characters that every code of the template begins with."""
        pieces: list[str] = []
        for number, part in enumerate(self.parts):
            if number:
                pieces.append(SEPARATOR)
            for piece in part:
                if isinstance(piece, CodeField):
                    return "".join(pieces)
                pieces.append(piece)
        return "".join(pieces)


def _parse_part(text: str) -> CodePart:
    pieces: list[str | CodeField] = []
    position = 0
    for match in _FIELD.finditer(text):
        if match.start() > position:
            pieces.append(_literal(text[position : match.start()]))
        pieces.append(_field(match))
        position = match.end()
    if position < len(text):
        pieces.append(_literal(text[position:]))
    if not pieces:
        raise ValueError("a part of the code is empty: write one // between two parts")
    return tuple(pieces)


def _literal(text: str) -> str:
    if "{" in text or "}" in text:
        raise ValueError("a brace is not part of a {column}, {column?} or {column|text}")
    if not text.strip() or not text.isprintable():
        raise ValueError("a literal part of the code is blank or holds a control character")
    return text


def _field(match: re.Match[str]) -> CodeField:
    form = match["form"]
    if form is not None and form not in get_args(Form):
        raise ValueError(f"the form '{form}' is unknown; take one of {', '.join(get_args(Form))}")
    column, default = match["column"].strip(), match["default"]
    if not column or (default is not None and not default.strip()):
        raise ValueError("a {column} or what stands for its empty cell is blank")
    return CodeField(column, cast(Form | None, form), default, match["empty"] == "?")
