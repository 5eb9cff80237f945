"""Checkpoints: safetensors and a manifest with hashes, no pickle, complete or absent."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from fedehr_server.phases.model_state import ModelState
from fedehr_shared.errors import CheckpointError
from fedehr_shared.wire.payload import Arrays
from fedehr_shared.wire.work import WorkId

_KEPT_PER_PHASE = 2


class CheckpointFolder:
    """The checkpoints of one run: `<phase>-<round>/{model,moments}.safetensors, manifest.json`.

    The latest two of a phase are kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, work: WorkId, state: ModelState, vocabulary_digest: str) -> Path:
        """Write the state after a round."""
        target = self._folder / f"{work.phase}-{work.round:04d}"
        partial = self._folder / f".{target.name}.{os.getpid()}"
        partial.mkdir(parents=True)
        files = {"model.safetensors": state.all_weights}
        if state.moments is not None:
            files["moments.safetensors"] = state.moments
        for name, tensors in files.items():
            # safetensors writes memory as it lies, also where it lies column by column.
            ordered = {key: np.ascontiguousarray(value) for key, value in tensors.items()}
            save_file(ordered, partial / name)
        manifest = {
            "format": 1,
            "study_digest": work.digest,
            "phase": work.phase,
            "round": work.round,
            "vocabulary_digest": vocabulary_digest,
            "sha256": {name: _sha256(partial / name) for name in files},
        }
        (partial / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
        for file in partial.iterdir():
            _sync(file)
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)
        _sync(self._folder)
        self._drop_old(work)
        return target

    def latest(self, phase: str) -> Path:
        """The newest checkpoint of a phase.

        Raises:
            CheckpointError: there is none.
        """
        found = sorted(self._folder.glob(f"{phase}-*"))
        if not found:
            raise CheckpointError(f"{self._folder} holds no checkpoint of {phase}. Run the study.")
        return found[-1]

    def _drop_old(self, work: WorkId) -> None:
        for old in sorted(self._folder.glob(f"{work.phase}-*"))[:-_KEPT_PER_PHASE]:
            shutil.rmtree(old)


def load_weights(checkpoint: Path) -> Arrays:
    """The weights of a checkpoint.

    Raises:
        CheckpointError: a file is missing or its hash is not the manifest's.
    """
    file = checkpoint / "model.safetensors"
    try:
        manifest = json.loads((checkpoint / "manifest.json").read_text(encoding="utf-8"))
        if _sha256(file) != manifest["sha256"][file.name]:
            raise CheckpointError(f"{file} does not have the hash in its manifest. Do not use it.")
        weights: Arrays = load_file(file)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise CheckpointError(f"{checkpoint} is missing or damaged. Use an earlier one.") from error
    return weights


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
