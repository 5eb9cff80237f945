"""`Checkpoint`: weights that a run kept, with all that is needed to encode with them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedehr_server.checkpoint import load_weights
from fedehr_server.phases.model_state import first_pretraining_state
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import CheckpointError, UsageError
from fedehr_shared.vocabulary.vocabulary import Vocabulary
from fedehr_simulations.outcome.finished_run import read_vocabulary
from fedehr_simulations.probe.frozen_encoder import without_adapters
from fedehr_simulations.probe.run_probe import read_study

PRETRAINING, FINETUNING = "pretraining", "finetuning"


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint of one run.

    Attributes:
        run: the run, as the user named it.
        folder: the checkpoint's own.
        study: what the run carried out.
        vocabulary: what it agreed on.
    """

    run: str
    folder: Path
    study: StudyConfig
    vocabulary: Vocabulary

    @property
    def name(self) -> str:
        """`<phase>-<round>`."""
        return self.folder.name

    @property
    def phase(self) -> str:
        """`pretraining` or `finetuning`."""
        return self.name.rpartition("-")[0]

    def weights(self) -> Mapping[str, NDArray[np.float32]]:
        """Its tensors by name, adapters folded into their matrices.

        Raises:
            CheckpointError: a file is missing or damaged.
            WireError: tensors are missing.
        """
        return without_adapters(load_weights(self.folder), self.study)

    def untrained(self) -> Mapping[str, NDArray[np.float32]]:
        """The weights that the run's study begins with, drawn from its seed."""
        return first_pretraining_state(self.study, self.vocabulary.num_tokens).weights


def read_checkpoints(run: Path, *, every: bool) -> tuple[Checkpoint, ...]:
    """Checkpoints of a run, in the order of phases and rounds.

    Args:
        run: what a coordinator wrote, or the folder of a simulation that holds one such run.
        every: all that are left; otherwise the last of pre-training alone, or where there is
            none the last of fine-tuning.

    Raises:
        CheckpointError: the run left no study, no vocabulary or no checkpoint.
        ConfigError: another version of fedehr wrote the study.
        UsageError: the folder holds several runs.
    """
    folder = _run_folder(run)
    study = read_study(folder)
    found = sorted(
        (path for path in folder.glob("checkpoints/*/") if not path.name.startswith(".")),
        key=lambda path: (not path.name.startswith(PRETRAINING), path.name),
    )
    if not found:
        raise CheckpointError(
            f"{folder} holds no checkpoint: no round of training was completed there. Run the "
            "study with rounds in [pretraining]."
        )
    if not every:
        pretrained = [path for path in found if path.name.startswith(PRETRAINING)]
        found = [(pretrained or found)[-1]]
    vocabulary = read_vocabulary(folder)
    return tuple(Checkpoint(str(run), path, study, vocabulary) for path in found)


def _run_folder(given: Path) -> Path:
    """The run's own folder: `fedehr-sim run --out OUT` keeps it as OUT/runs/federated."""
    if (given / "study.json").exists():
        return given
    below = sorted(file.parent for file in given.glob("runs/*/study.json"))
    if len(below) > 1:
        raise UsageError(
            f"{given} holds {len(below)} runs. Name those to probe: {', '.join(map(str, below))}"
        )
    return below[0] if below else given
