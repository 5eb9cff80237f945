"""`StudyTexts`: the studies that a ledger charged, as they were asked.

<work>/privacy/studies/<digest>.json
"""

from pathlib import Path

from fedehr_client.private_file import write_private
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import ConfigError, DataError


class StudyTexts:
    """The folder beside one ledger."""

    def __init__(self, privacy: Path) -> None:
        """`privacy`: the ledger's folder."""
        self.folder = privacy / "studies"

    def keep(self, study: StudyConfig) -> None:
        """Write a study down, once.

        Raises:
            DataError: it cannot be written.
        """
        file = self._file(study.digest)
        try:
            if not file.exists():
                write_private(file, study.to_json().encode())
        except OSError as error:
            raise DataError(
                f"cannot write {file}: {error.strerror}. Mend its permissions or free the disk; "
                "nothing was trained or sent."
            ) from error

    def find(self, digest: str) -> StudyConfig | None:
        """The study; None where its text is missing or no longer readable here."""
        try:
            study = StudyConfig.from_json(self._file(digest).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, ConfigError):
            return None
        return study if study.digest == digest else None

    def digests(self) -> list[str]:
        """Of all studies that are written down."""
        return sorted(file.stem for file in self.folder.glob("*.json"))

    def _file(self, digest: str) -> Path:
        return self.folder / f"{digest}.json"
