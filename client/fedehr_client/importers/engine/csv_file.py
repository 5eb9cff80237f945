"""`CsvFile`: how a CSV file is written down, read off its first megabyte."""

import codecs
import csv
import gzip
import io
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from fedehr_shared.errors import DataError, UsageError

HEAD_BYTES = 1 << 20
DELIMITERS = (",", ";", "\t", "|")
ENCODINGS = ("utf-8", "utf-16", "utf-16-le", "utf-16-be", "iso8859-1", "cp1252", "iso8859-15")
"""By Python's names; a stated encoding may be any alias of one, as Latin-1 or Windows-1252."""
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True)
class CsvFormat:
    """What is known of a source's CSV files beforehand; null: found out by file.

    Attributes:
        encoding: one of `ENCODINGS`. Found: by byte order mark; else Windows-1252 where the
            first megabyte is not UTF-8 and holds nothing that only UTF-8 explains; else UTF-8.
        delimiter: one character. Found: of `, ; tab |` the one that parts the header most.
        quotes_tabs: where tabs part the fields, quotes may enclose them. OHDSI's vocabularies
            are tables of tabs in which a quote is a letter.
    """

    encoding: str | None = None
    delimiter: str | None = None
    quotes_tabs: bool = True


@dataclass(frozen=True)
class CsvFile:
    """One file.

    Attributes:
        header: the names of its columns, as they stand.
        encoding: one of `ENCODINGS`.
        is_quoted: quotes may enclose a field.
    """

    path: Path
    is_gzip: bool
    encoding: str
    delimiter: str
    header: tuple[str, ...]
    is_quoted: bool = True

    def open(self) -> BinaryIO:
        """The file's bytes, decompressed."""
        return open_bytes(self.path, self.is_gzip)


def examine_csv(path: Path, known: CsvFormat) -> CsvFile:
    """Read the head of `path`.

    Raises:
        DataError: the file cannot be read, is damaged, or begins with no header.
        UsageError: the stated encoding or delimiter is none that is known.
    """
    try:
        with path.open("rb") as stream:
            is_gzip = stream.read(2) == b"\x1f\x8b"
        with open_bytes(path, is_gzip) as stream:
            head = stream.read(HEAD_BYTES)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise damaged_gzip(path) from None
    except OSError as error:
        raise DataError(f"cannot read {path} ({error.strerror}). Check the file.") from None
    encoding = _encoding(head, known.encoding)
    delimiter, header = _header(path, _decode(head, encoding), known.delimiter)
    is_quoted = known.quotes_tabs or delimiter != "\t"
    return CsvFile(path, is_gzip, encoding, delimiter, header, is_quoted)


def open_bytes(path: Path, is_gzip: bool) -> BinaryIO:
    """Open for reading, through gzip where it is one."""
    return cast(BinaryIO, gzip.open(path)) if is_gzip else path.open("rb")


def damaged_gzip(path: Path) -> DataError:
    """The error of a gzip file that ends early or fails its checksum."""
    return DataError(f"{path} is not a whole gzip file: it is truncated or damaged. Copy it again.")


def _encoding(head: bytes, stated: str | None) -> str:
    if stated is not None:
        return _known_encoding(stated)
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        only_utf8 = any(ord(letter) > 127 for letter in head.decode("utf-8", errors="ignore"))
        return "utf-8" if only_utf8 else "cp1252"
    return "utf-8"


def _known_encoding(stated: str) -> str:
    try:
        name = codecs.lookup(stated).name
    except (LookupError, ValueError):
        name = stated
    name = name.removesuffix("-sig") if name == "utf-8-sig" else name
    if name not in ENCODINGS:
        raise UsageError(
            f"the encoding '{stated}' is not known. Use utf-8, utf-16, latin-1 or windows-1252."
        )
    return name


def _decode(head: bytes, encoding: str) -> str:
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
    return decoder.decode(head).removeprefix("\ufeff")


def _header(path: Path, text: str, stated: str | None) -> tuple[str, tuple[str, ...]]:
    if stated is not None and (len(stated) != 1 or not stated.isascii() or stated in '"\r\n'):
        raise UsageError(f"the delimiter {stated!r} is not one character. Use , or ; or a tab.")
    found = {each: _first_record(text, each) for each in ([stated] if stated else DELIMITERS)}
    delimiter = max(found, key=lambda each: len(found[each]))
    header = tuple(found[delimiter])
    if not any(name.strip() for name in header):
        raise DataError(f"{path} begins with no header. Its first line must name the columns.")
    return delimiter, header


def _first_record(text: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), [])
    except csv.Error:
        return []
