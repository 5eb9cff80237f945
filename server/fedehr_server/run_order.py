"""`RunOrder`: what a run is to do, as `submit` leaves it for the ServerApp.

It lies in the coordinator's folder and not in the run's configuration, which every node sees.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from fedehr_server.progress import write_json
from fedehr_shared.errors import DataError


@dataclass(frozen=True)
class RunOrder:
    """One submitted run.

    Attributes:
        study: the study's digest.
        num_sites: how many nodes the run waits for.
        contract: the digest of the contract that it runs under; empty: none.
        kind: a `study` is conducted; a `proposal` brings its contract to the nodes.
        run_id: the engine's; empty until it has taken the run.
    """

    study: str
    num_sites: int
    contract: str = ""
    kind: Literal["study", "proposal"] = "study"
    run_id: str = ""

    def save(self, file: Path) -> None:
        """Write the file, whole or not at all."""
        write_json(file, asdict(self))

    @classmethod
    def load(cls, file: Path) -> "RunOrder | None":
        """Read a file; None where there is none, or it is being made.

        Raises:
            DataError: it is damaged.
        """
        try:
            text = file.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        if not text:
            return None
        try:
            return cls(**json.loads(text))
        except (ValueError, TypeError) as error:
            raise DataError(f"{file} is damaged. Submit the study again.") from error
