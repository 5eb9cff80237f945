"""`FinishedRun`: what a study left behind, as far as its fine-tuned model goes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import torch

from fedehr_server.checkpoint import CheckpointFolder, load_weights
from fedehr_server.phases.model_state import ModelState
from fedehr_server.vocabulary_shelf import read_vocabulary_file
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import CheckpointError, WireError
from fedehr_shared.model.finetuning_model import FinetuningModel
from fedehr_shared.model.weights import check_tensors
from fedehr_shared.vocabulary.vocabulary import Vocabulary
from fedehr_shared.wire.payload import Arrays
from fedehr_shared.wire.work import WorkId

_PHASE: Final = "finetuning"


@dataclass(frozen=True)
class FinishedRun:
    """A run whose fine-tuning came to its end.

    Attributes:
        study: what was run.
        vocabulary: what its sites agreed on.
        weights: all of the fine-tuned model's, by name.
    """

    study: StudyConfig
    vocabulary: Vocabulary
    weights: Arrays

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read a run's folder.

        Raises:
            CheckpointError: it is no run, has not come to its end, or is damaged.
            DataError: its vocabulary is missing or damaged.
        """
        study = _study_of(folder)
        vocabulary = read_vocabulary_file(folder / "vocabulary.json")
        checkpoint = CheckpointFolder(folder / "checkpoints").latest(_PHASE)
        last = f"{_PHASE}-{study.finetuning.rounds:04d}"
        if checkpoint.name != last:
            raise CheckpointError(
                f"{folder} has {checkpoint.name} as its latest checkpoint, and the study ends "
                f"with {last}. Name a run that came to its end."
            )
        weights = load_weights(checkpoint)
        with torch.device("meta"):
            model = FinetuningModel(study, vocabulary.num_tokens)
        try:
            check_tensors(weights, {n: tuple(p.shape) for n, p in model.named_parameters()})
        except WireError as error:
            raise CheckpointError(f"{checkpoint} is not of its study: {error}") from error
        return cls(study, vocabulary, weights)

    def write(self, folder: Path) -> None:
        """Write it as a run's folder, into one that is there and empty."""
        (folder / "study.json").write_text(self.study.to_json() + "\n", encoding="utf-8")
        (folder / "vocabulary.json").write_text(self.vocabulary.to_json() + "\n", encoding="utf-8")
        work = WorkId(self.study.digest, _PHASE, self.study.finetuning.rounds, 1)
        checkpoints = CheckpointFolder(folder / "checkpoints")
        checkpoints.save(work, ModelState(self.weights), self.vocabulary.digest)

    @property
    def summary(self) -> dict[str, Any]:
        """What a person asks first."""
        return {
            "study": self.study.name,
            "study_digest": self.study.digest,
            "tuning": self.study.finetuning.tuning,
            "num_tensors": len(self.weights),
            "num_parameters": sum(value.size for value in self.weights.values()),
        }


def _study_of(folder: Path) -> StudyConfig:
    try:
        text = (folder / "study.json").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(
            f"{folder} is not the folder of a run: cannot read its study.json. Name one below "
            "runs/."
        ) from error
    return StudyConfig.from_json(text)
