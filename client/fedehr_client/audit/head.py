"""`AuditHead`: how many lines an audit has and the hash of its last, in a small file beside it.

    {"num_lines": 12, "last_hash": "<sha256>"}

The chain alone cannot show that its end was cut off. The head is written after each line, so that
a crash leaves it a line behind the file, never ahead of it.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from fedehr_client.chained_file import NO_LINE
from fedehr_client.private_file import write_private
from fedehr_shared.errors import DataError


@dataclass(frozen=True)
class AuditHead:
    """What a head file says.

    Attributes:
        num_lines: whole lines.
        last_hash: of the last of them; `NO_LINE` where there is none.
    """

    num_lines: int = 0
    last_hash: str = NO_LINE

    @classmethod
    def read(cls, file: Path) -> "AuditHead | None":
        """The head in a file; None where there is no file.

        Raises:
            DataError: it cannot be read, or is no head.
        """
        try:
            values = json.loads(file.read_bytes())
            head = cls(int(values["num_lines"]), str(values["last_hash"]))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise DataError(
                f"cannot read {file}: {error.strerror}. Check its permissions."
            ) from error
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise DataError(
                f"{file} is damaged: it does not say where the audit ends. Compare the audit with "
                "a backup, then remove this file; the next line writes it anew."
            ) from error
        return head

    def write(self, file: Path) -> None:
        """Replace the file.

        Raises:
            OSError: it cannot be written; then it is as it was.
        """
        write_private(file, json.dumps(asdict(self)).encode() + b"\n")
