"""CSV files of other encodings, and the checksums of gzip files: one pass in bounded memory."""

import codecs
import gzip
import zlib
from pathlib import Path

from fedehr_client.importers.engine.csv_file import CsvFile, damaged_gzip
from fedehr_shared.errors import DataError

_CHUNK_BYTES = 1 << 20


def check_gzip(file: CsvFile) -> None:
    """Read to the end once: DuckDB does not compare the checksum, and would lose rows.

    Raises:
        DataError: the file is truncated or damaged.
    """
    try:
        with file.open() as stream:
            while stream.read(_CHUNK_BYTES):
                pass
    except (OSError, EOFError, zlib.error):
        raise damaged_gzip(file.path) from None


def transcode(file: CsvFile, copy: Path) -> None:
    """Write `file` as gzipped UTF-8. What cannot be decoded stays invalid, so its row is bad.

    Raises:
        DataError: the file is truncated or damaged.
    """
    errors = "surrogatepass" if file.encoding.startswith("utf-16") else "surrogateescape"
    decoder = codecs.getincrementaldecoder(file.encoding)(errors=errors)
    try:
        with file.open() as source, gzip.open(copy, "wb", compresslevel=1) as target:
            while chunk := source.read(_CHUNK_BYTES):
                target.write(decoder.decode(chunk).encode(errors=errors))
            target.write(decoder.decode(b"", final=True).encode(errors=errors))
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise damaged_gzip(file.path) from None
    except UnicodeError:
        raise DataError(
            f"{file.path} is not {file.encoding} throughout: it is truncated or of another "
            "encoding. Copy it again, or state its encoding."
        ) from None
