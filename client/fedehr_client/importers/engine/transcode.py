"""CSV files of other encodings, checksums of gzip files, lines: one pass in bounded memory."""

import codecs
import gzip
import zlib
from pathlib import Path
from threading import Event

from fedehr_client.importers.engine.csv_file import CsvFile, damaged_gzip
from fedehr_shared.errors import DataError

_CHUNK_BYTES = 1 << 20


class LineCount:
    """Counts the lines of a file as its bytes pass; the last may lack its end."""

    def __init__(self) -> None:
        self._num_ends = 0
        self._last = b"\n"

    def add(self, content: bytes) -> None:
        """Take the next bytes."""
        self._num_ends += content.count(b"\n")
        self._last = content[-1:] or self._last

    @property
    def num(self) -> int:
        """Lines so far."""
        return self._num_ends + (self._last != b"\n")


def count_lines(file: CsvFile, is_ended: Event) -> int:
    """Read to the end once: DuckDB does not compare gzip's checksum, and would lose rows.

    Args:
        is_ended: set where nobody waits for the number any more.

    Raises:
        DataError: the file is truncated or damaged.
    """
    lines = LineCount()
    try:
        with file.open() as stream:
            while not is_ended.is_set() and (chunk := stream.read(_CHUNK_BYTES)):
                lines.add(chunk)
    except (OSError, EOFError, zlib.error):
        raise damaged_gzip(file.path) from None
    return lines.num


def transcode(file: CsvFile, copy: Path) -> int:
    """Write `file` as gzipped UTF-8. What cannot be decoded stays invalid, so its row is bad.

    Returns:
        Its lines.

    Raises:
        DataError: the file is truncated or damaged.
    """
    errors = "surrogatepass" if file.encoding.startswith("utf-16") else "surrogateescape"
    decoder = codecs.getincrementaldecoder(file.encoding)(errors=errors)
    lines = LineCount()
    try:
        with file.open() as source, gzip.open(copy, "wb", compresslevel=1) as target:
            while chunk := source.read(_CHUNK_BYTES):
                content = decoder.decode(chunk).encode(errors=errors)
                lines.add(content)
                target.write(content)
            # Raises where the last character is cut off.
            decoder.decode(b"", final=True)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise damaged_gzip(file.path) from None
    except UnicodeError:
        raise DataError(
            f"{file.path} is not {file.encoding} throughout: it is truncated or of another "
            "encoding. Copy it again, or state its encoding."
        ) from None
    return lines.num
