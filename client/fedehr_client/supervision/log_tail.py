"""`LogTail`: what was added to a log file since it was last looked at."""

from pathlib import Path

MOST_BYTES = 1 << 20


class LogTail:
    """Reads on from the end that the file has now; a file cut short is read from its start."""

    def __init__(self, file: Path) -> None:
        """`file` need not be there yet."""
        self._file = file
        self._offset = self._size()

    def before(self) -> str:
        """The text before what `read` gives next; of very much only the end."""
        if self._offset == 0:
            return ""
        with self._file.open("rb") as stream:
            stream.seek(max(0, self._offset - MOST_BYTES))
            return stream.read(min(MOST_BYTES, self._offset)).decode(errors="replace")

    def read(self) -> str:
        """The text that was added; of very much only the end."""
        size = self._size()
        if size < self._offset:
            self._offset = 0
        if size == self._offset:
            return ""
        with self._file.open("rb") as stream:
            stream.seek(max(self._offset, size - MOST_BYTES))
            content = stream.read(MOST_BYTES)
            self._offset = stream.tell()
        return content.decode(errors="replace")

    def _size(self) -> int:
        try:
            return self._file.stat().st_size
        except FileNotFoundError:
            return 0
