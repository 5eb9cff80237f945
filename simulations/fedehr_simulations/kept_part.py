"""`KeptPart`: a part of a result with a private JSON file of its own."""

from pathlib import Path
from typing import Self

from pydantic import ValidationError

from fedehr_shared.errors import DataError
from fedehr_simulations.private_file import replacing
from fedehr_simulations.verdict.result import Part


class KeptPart(Part):
    """A part that is written once its run is done, so that the run is not done again."""

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        with replacing(path) as file:
            file.write(self.model_dump_json(indent=2).encode() + b"\n")

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Read what `write` wrote; None where there is nothing.

        Raises:
            DataError: the file is damaged, or of another version.
        """
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError, ValidationError) as error:
            raise DataError(
                f"{path} is damaged, or of another version of fedehr. Remove its folder, and the "
                "run is done again."
            ) from error
