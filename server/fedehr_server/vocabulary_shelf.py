"""`VocabularyShelf`: the vocabularies that a coordinator's studies agreed on, by digest.

    DIR/vocabularies/<digest>.json

A later study names one by `[vocabulary] reuse`; then no site reports its codes again.
"""

import os
from pathlib import Path

from fedehr_shared.errors import DataError, UsageError, WireError
from fedehr_shared.vocabulary.vocabulary import Vocabulary

FOLDER_NAME = "vocabularies"
_DIGEST_LENGTH = 64


class VocabularyShelf:
    """The files below one folder, which is made when the first is kept."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, vocabulary: Vocabulary) -> Path:
        """Write a vocabulary; one that is there already stays as it is."""
        file = self._file(vocabulary.digest)
        if not file.exists():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            partial = file.with_suffix(f".{os.getpid()}.partial")
            partial.write_text(vocabulary.to_json() + "\n", encoding="utf-8")
            partial.replace(file)
        return file

    def take(self, digest: str) -> Vocabulary:
        """The vocabulary of this digest.

        Raises:
            DataError: there is none, or the file is damaged, of an older format, or another's.
        """
        file = self._file(digest)
        if not file.is_file():
            raise DataError(
                f"there is no vocabulary {digest} in {self._folder}. Bring it with "
                "`fedehr-server vocabulary import DIR FILE` (`fedehr-sim run --vocabulary FILE`), "
                "or leave [vocabulary] reuse out of the study."
            )
        vocabulary = read_vocabulary_file(file)
        if vocabulary.digest != digest:
            raise DataError(
                f"{file} holds vocabulary {vocabulary.digest}, not the one that it is named "
                "after. It was changed; remove it and import it again."
            )
        return vocabulary

    def digests(self) -> list[str]:
        """What is there, by digest."""
        files = self._folder.glob("*.json")
        return sorted(file.stem for file in files if len(file.stem) == _DIGEST_LENGTH)

    def find(self, start: str) -> str:
        """The one digest that begins with `start`.

        Raises:
            UsageError: none does, or several do.
        """
        found = [digest for digest in self.digests() if digest.startswith(start)]
        if len(found) != 1:
            raise UsageError(
                f"{len(found)} vocabularies begin with {start!r}. Choose one: "
                "`fedehr-server vocabulary list DIR`."
            )
        return found[0]

    def _file(self, digest: str) -> Path:
        return self._folder / f"{digest}.json"


def read_vocabulary_file(file: Path) -> Vocabulary:
    """A vocabulary from any file.

    Raises:
        DataError: the file is missing or damaged, or of another format.
    """
    try:
        return Vocabulary.from_json(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read the vocabulary {file}. Check the path.") from error
    except WireError as error:
        raise DataError(f"{file}: {error}") from error
