"""`Manifest`: what a token store is made from and what its files must be."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fedehr_shared.tokens.back_off import BackOffShares
from fedehr_shared.tokens.store_file import FileRecord

FORMAT = 3
"""3 added `sexes`; 2 the checksums; stores of another format are made anew."""

DTYPES = {
    "tokens": "<i4",
    "times": "<i8",
    "hours": "<f4",
    "visits": "<i4",
    "offsets": "<i8",
    "subject_ids": "<i8",
    "first_ages": "<f4",
    "sexes": "|u1",
}
"""Every array of a store."""


@dataclass(frozen=True)
class Manifest:
    """The content of `manifest.json`.

    Attributes:
        about: what the store is made from: vocabulary, sequence settings, records.
        num_subjects: the number of subjects.
        num_tokens: the number of tokens.
        back_off: the share of events at each step of the back-off.
        files: by array.
    """

    about: dict[str, str]
    num_subjects: int
    num_tokens: int
    back_off: BackOffShares
    files: dict[str, FileRecord]

    def to_json(self) -> str:
        """One canonical text, which ends with the checksum of the rest."""
        content = {"format": FORMAT, **asdict(self)}
        return _dump({**content, "sha256": _digest(content)})

    @classmethod
    def from_json(cls, text: str) -> "Manifest | None":
        """Read what `to_json` wrote; None where another version of fedehr wrote it.

        Raises:
            ValueError: a byte of it is not as it was written.
            KeyError, TypeError: likewise.
        """
        content = json.loads(text)
        told = content.pop("sha256", None)
        if told is None and content["format"] == 1:
            return None
        if told != _digest(content) or text != _dump({**content, "sha256": told}):
            raise ValueError("the manifest differs from its checksum")
        if content.pop("format") != FORMAT:
            return None
        return cls._from_content(content)

    @classmethod
    def _from_content(cls, content: Mapping[str, Any]) -> "Manifest":
        files = {name: FileRecord(**record) for name, record in content["files"].items()}
        if {name: file.dtype for name, file in files.items()} != DTYPES:
            raise ValueError("the manifest names other files")
        return cls(
            about=dict(content["about"]),
            num_subjects=content["num_subjects"],
            num_tokens=content["num_tokens"],
            back_off=BackOffShares(**content["back_off"]),
            files=files,
        )


def _dump(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2) + "\n"


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(_dump(content).encode()).hexdigest()
