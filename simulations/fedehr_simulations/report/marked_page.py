"""The part of a Markdown page that a program writes; the words around it stay as they are."""

from dataclasses import dataclass
from pathlib import Path

from fedehr_shared.errors import DataError


@dataclass(frozen=True)
class Marks:
    """The lines that enclose it."""

    begin: str
    end: str


def write_between(path: Path, marks: Marks, text: str) -> None:
    """Put `text` between the marks of a page; a new page holds nothing else.

    Raises:
        DataError: the page has no such marks, or cannot be read or written.
    """
    try:
        old = path.read_text(encoding="utf-8") if path.exists() else f"{marks.begin}\n{marks.end}\n"
        head, begin, rest = old.partition(marks.begin)
        _, end, tail = rest.partition(marks.end)
        if not begin or not end:
            raise DataError(
                f"{path} lacks the lines between which the tables go: {marks.begin!r} and "
                f"{marks.end!r}. Add them, or name a new file."
            )
        page = f"{head}{marks.begin}\n\n{text}\n{marks.end}{tail}"
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror}. Name another file.") from error
