"""`ModelShelf`: the encoders that a coordinator's studies pre-trained, by digest.

    DIR/models/<digest>.safetensors

A later study names one by `[pretraining] reuse`, and begins with its fine-tuning.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import DataError
from fedehr_shared.model.digest import digest_of
from fedehr_shared.wire.payload import Arrays

FOLDER_NAME = "models"
_ENCODER = "encoder."
_DIGEST_LENGTH = 64


@dataclass(frozen=True)
class PretrainedModel:
    """An encoder and the vocabulary that its tokens are of.

    Attributes:
        weights: the encoder's tensors, by the names that they have in every model.
        vocabulary: the vocabulary's digest.
        heads: of its attention, which no tensor's shape tells; None: the file does not say.
    """

    weights: Arrays
    vocabulary: str
    heads: int | None = None

    @classmethod
    def of(cls, weights: Arrays, vocabulary: str, heads: int) -> "PretrainedModel":
        """The encoder of any model: heads and what names masked events are left out."""
        own = {name: value for name, value in weights.items() if name.startswith(_ENCODER)}
        return cls(own, vocabulary, heads)

    @property
    def digest(self) -> str:
        """Of the weights and what they say nothing of."""
        return digest_of(self.weights, *self.about.values())

    @property
    def about(self) -> dict[str, str]:
        """What the file tells beside the weights."""
        heads = {} if self.heads is None else {"heads": str(self.heads)}
        return {"vocabulary": self.vocabulary} | heads


class ModelShelf:
    """The files below one folder, which is made when the first is kept."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, model: PretrainedModel) -> str:
        """Write a model; its digest. One that is there already stays as it is."""
        digest = model.digest
        file = self._file(digest)
        if not file.exists():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_model(model, file)
        return digest

    def take(self, digest: str) -> PretrainedModel:
        """The model of this digest.

        Raises:
            DataError: there is none, or the file is damaged, or another's.
        """
        file = self._file(digest)
        if not file.is_file():
            raise DataError(
                f"there is no model {digest} in {self._folder}. Take the digest from the "
                "result.json of the run that pre-trained it, and use the same folder."
            )
        model = read_model(file)
        if model.digest != digest:
            raise DataError(
                f"{file} does not hold the model that it is named after. It was changed; remove it."
            )
        return model

    def digests(self) -> list[str]:
        """What is there, by digest."""
        files = self._folder.glob("*.safetensors")
        return sorted(file.stem for file in files if len(file.stem) == _DIGEST_LENGTH)

    def _file(self, digest: str) -> Path:
        return self._folder / f"{digest}.safetensors"


def reused_model(study: StudyConfig, models: ModelShelf | None) -> PretrainedModel | None:
    """What a study re-uses, if it does.

    Raises:
        DataError: it is not there, damaged, of another vocabulary, or has other attention heads.
    """
    digest = study.pretraining.reuse
    if not digest:
        return None
    if models is None:
        raise DataError(
            f"the study re-uses model {digest}, and this run has no place to take it from. "
            "Leave [pretraining] reuse out of the study."
        )
    model = models.take(digest)
    if model.vocabulary != study.vocabulary.reuse:
        raise DataError(
            f"model {digest} was trained with vocabulary {model.vocabulary}, and the study "
            "re-uses another. Set [vocabulary] reuse to it."
        )
    if model.heads not in {None, study.model.heads}:
        raise DataError(
            f"model {digest} was trained with {model.heads} attention heads, and the study has "
            f"[model] heads = {study.model.heads}. Give the study the size that the model was "
            "trained with."
        )
    return model


def write_model(model: PretrainedModel, file: Path) -> None:
    """Write a model, whole or not at all.

    Raises:
        DataError: it cannot be written.
    """
    partial = file.with_suffix(f".{os.getpid()}.partial")
    ordered = {name: np.ascontiguousarray(value) for name, value in model.weights.items()}
    try:
        save_file(ordered, partial, metadata=model.about)
        partial.replace(file)
    except (OSError, SafetensorError) as error:
        partial.unlink(missing_ok=True)
        raise DataError(
            f"cannot write {file}: {error}. Mend its folder or free the disk."
        ) from error


def read_model(file: Path) -> PretrainedModel:
    """A model from any file.

    Raises:
        DataError: the file is missing or damaged, or holds something else.
    """
    try:
        with safe_open(file, framework="numpy") as opened:
            about = opened.metadata() or {}
            weights = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        vocabulary = about["vocabulary"]
        heads = int(about["heads"]) if "heads" in about else None
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        raise DataError(
            f"cannot read the model {file}: it is missing, damaged or of another program. "
            "Export it again."
        ) from error
    odd = [
        name
        for name, value in weights.items()
        if not name.startswith(_ENCODER) or value.dtype != np.float32
    ]
    if odd or not weights:
        raise DataError(f"{file} is no exported encoder in float32. Export it again.")
    return PretrainedModel(weights, vocabulary, heads)
