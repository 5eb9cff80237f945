"""`ArmResult`: what one arm made of one draw of labels, and the files that keep it.

FOLDER/federation.npz    held-out scores of the sites that took part, subject by subject
FOLDER/at-<site>.npz     those of one of them
FOLDER/unseen.npz        scores of every subject of the site that took no part, if there is one
FOLDER/figures.json      written last: a run without it is done again
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from fedehr_shared.errors import DataError
from fedehr_simulations.private_file import replacing
from fedehr_simulations.tuning_trials.scores import SplitScores, read_scores, write_scores
from fedehr_simulations.verdict.result import Count, Finite, Part, Text

FIGURES_FILE = "figures.json"
FEDERATION, UNSEEN, AT = "federation", "unseen", "at-"


class ArmFigures(Part):
    """One arm, one seed, one number of labels."""

    format: Literal[1] = 1
    arm: Text
    seed: Count
    num_labels: Count | None
    """Null: all of the train split."""
    site: str = ""
    """The one that learnt from its own labels; empty: all did together."""
    key: Text
    """Digest of all that decides what comes out."""
    chosen: Text
    """The candidate that the tuning split chose."""
    tuning_auroc: Finite | None
    """Its mean over tasks there; null where no task has both outcomes."""
    num_candidates: Annotated[int, Field(ge=1)]
    cpu_seconds: Annotated[Finite, Field(ge=0.0)]
    """Processor time of all candidates."""
    commit: Text


@dataclass(frozen=True)
class ArmResult:
    """Figures, and the scores by place: `federation`, `at-<site>` for each of its sites, and
    `unseen` where there is one."""

    figures: ArmFigures
    scores: dict[str, SplitScores]

    def write(self, folder: Path) -> None:
        """Write the folder's files, the figures last."""
        for place, scores in self.scores.items():
            write_scores(folder / f"{place}.npz", scores)
        with replacing(folder / FIGURES_FILE) as file:
            file.write(self.figures.model_dump_json(indent=2).encode() + b"\n")

    @classmethod
    def read(cls, folder: Path, key: str) -> "ArmResult | None":
        """What an earlier call left; None where it must be made.

        Raises:
            DataError: a file is damaged, or of another study, other records or other labels.
        """
        file = folder / FIGURES_FILE
        try:
            figures = ArmFigures.model_validate_json(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError, ValidationError) as error:
            raise DataError(
                f"{file} is damaged, or of another version of fedehr. Remove its folder, and the "
                "run is done again."
            ) from error
        if figures.key != key:
            raise DataError(
                f"{folder} holds a run of another study, of other records or of other labels. "
                "Name another --out, or remove that folder."
            )
        return cls(figures, {file.stem: read_scores(file) for file in sorted(folder.glob("*.npz"))})


def key_of(*parts: object) -> str:
    """A digest of parts whose texts say what they are."""
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()
