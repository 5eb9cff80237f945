"""`PretrainingRun`: the one pre-training of a seed, kept for all fine-tunings.

OUT/pretrained/<digest>/run/         the coordinator's folder of the run
OUT/pretrained/<digest>/model.json   written last: the digest of the model

The first digest is the study's, in which the vocabulary's is: other records make another.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from fedehr_server.model_shelf import ModelShelf
from fedehr_server.vocabulary_shelf import VocabularyShelf
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import DataError
from fedehr_shared.meds.folder import FederationFolder
from fedehr_simulations.in_process import run_in_process
from fedehr_simulations.private_file import replacing

MODEL_FILE, RUN_FOLDER = "model.json", "run"
FOLDER_DIGITS = 20
"""Of a digest, in a folder's name."""


@dataclass(frozen=True)
class PretrainingRun:
    """A piece of work; see `Piece`.

    Attributes:
        study: with its seed and the vocabulary that it re-uses, without fine-tuning.
        federation: the federation folder.
        vocabularies: where the vocabulary is.
        models: where the model is put.
        out: the folder of all runs.
        work: scratch.
    """

    study: StudyConfig
    federation: Path
    vocabularies: Path
    models: Path
    out: Path
    work: Path

    @property
    def title(self) -> str:
        """The run in a few words."""
        return f"pre-training, seed {self.study.seed}"

    @property
    def folder(self) -> Path:
        """Where it is kept."""
        return self.out / "pretrained" / self.study.digest[:FOLDER_DIGITS]

    def finished(self) -> str | None:
        """The digest of the model that an earlier call kept; None where it must be made.

        Raises:
            DataError: the file is damaged.
        """
        file = self.folder / MODEL_FILE
        try:
            return str(json.loads(file.read_text(encoding="utf-8"))["model"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{file} is damaged. Remove its folder; it is made again.") from error

    def carry_out(self) -> str:
        """Pre-train; the digest of the model.

        Raises:
            FedehrError: the study could not go on.
        """
        run_folder = self.folder / RUN_FOLDER
        for old in (run_folder, self.work):
            shutil.rmtree(old, ignore_errors=True)
        result = run_in_process(
            self.study,
            FederationFolder(self.federation).sites,
            run_folder,
            self.work,
            num_threads=1,
            precision="fp32",
            shelf=VocabularyShelf(self.vocabularies),
            models=ModelShelf(self.models),
        )
        digest = str(result["pretrained_model"])
        with replacing(self.folder / MODEL_FILE) as file:
            file.write(json.dumps({"seed": self.study.seed, "model": digest}).encode())
        return digest
