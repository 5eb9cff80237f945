"""Adapters as a folder that peft reads, and from one that peft wrote.

    adapter_config.json        peft's settings
    adapter_model.safetensors  the adapters, under peft's names
    heads.safetensors          what else was trained, under fedehr's names
    encoder.safetensors        the frozen encoder below them: an `EventEncoder`'s parameters

peft's base model is the `EventEncoder`. peft itself reads the first two; nothing of fedehr needs
peft.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import DataError
from fedehr_shared.model.lora.adapted_matrices import adapted_matrices
from fedehr_shared.model.lora.peft_config import check_peft_config, peft_config
from fedehr_shared.model.lora.peft_names import VERA_A, VERA_B, peft_names
from fedehr_shared.model.lora.tensor_file import read_tensor_file
from fedehr_shared.model.lora.vera_projections import draw_projections

CONFIG, ADAPTERS = "adapter_config.json", "adapter_model.safetensors"
HEADS, ENCODER = "heads.safetensors", "encoder.safetensors"
_MOST_CONFIG_BYTES = 1_000_000
_ENCODER = "encoder."
Arrays = dict[str, NDArray[np.float32]]
Weights = Mapping[str, NDArray[np.float32]]


def write_peft_folder(folder: Path, study: StudyConfig, weights: Weights) -> None:
    """Write a run's adapters and what belongs to them.

    Args:
        folder: there already, and empty.
        study: whose adapters they are.
        weights: all of the fine-tuned model's, by name.

    Raises:
        ConfigError: the study has no adapters, or such as peft's format cannot hold.
    """
    config, names = peft_config(study), peft_names(study)
    adapters = {peft: weights[own] for own, peft in names.items()} | _projections(study, weights)
    heads = {name: weights[name] for name in weights if not name.startswith(_ENCODER)}
    encoder = {
        name.removeprefix(_ENCODER): value
        for name, value in weights.items()
        if name.startswith(_ENCODER) and name not in names
    }
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    for file, tensors in ((ADAPTERS, adapters), (HEADS, heads), (ENCODER, encoder)):
        # safetensors writes memory as it lies; transformers' readers ask for the framework.
        ready = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
        save_file(ready, folder / file, metadata={"format": "pt"})


def read_peft_folder(folder: Path, study: StudyConfig, weights: Weights) -> Arrays:
    """`weights` with the adapters of a folder in peft's format, and its heads where it has any.

    The folder's maker is not trusted: it must hold exactly the study's adapters. peft itself
    would pass over a tensor that is missing.

    Args:
        folder: `adapter_config.json` and `adapter_model.safetensors`; `heads.safetensors` may be
            there too. Pickles are never read.
        study: whose adapters they are to be.
        weights: all of a model's of that study, by name; they stay as they are.

    Raises:
        ConfigError: the study has no adapters.
        DataError: a file is missing, or does not hold what the study asks for.
    """
    check_peft_config(_config_text(folder / CONFIG), study)
    names, projections = peft_names(study), _projections(study, weights)
    shapes = {peft: weights[own].shape for own, peft in names.items()}
    shapes |= {name: value.shape for name, value in projections.items()}
    found = read_tensor_file(folder / ADAPTERS, shapes)
    for name, drawn in projections.items():
        if not np.array_equal(found[name], drawn):
            raise DataError(
                f"{folder / ADAPTERS}: {name} is not what the study's seed draws. Its vectors "
                "belong to another study."
            )
    taken = {own: found[peft] for own, peft in names.items()}
    return {**weights, **taken, **_heads(folder / HEADS, weights)}


def _heads(file: Path, weights: Weights) -> Arrays:
    if not file.exists():
        return {}
    shapes = {n: value.shape for n, value in weights.items() if not n.startswith(_ENCODER)}
    return read_tensor_file(file, shapes)


def _config_text(file: Path) -> str:
    if not file.is_file():
        raise DataError(f"{file} is missing. Name a folder that peft's save_pretrained wrote.")
    if file.stat().st_size > _MOST_CONFIG_BYTES:
        raise DataError(f"{file} is larger than any settings of adapters. Nothing was read.")
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {file} as UTF-8 text. Save the adapters again.") from error


def _projections(study: StudyConfig, weights: Weights) -> Arrays:
    """VeRA's frozen matrices under peft's names; none with LoRA."""
    if study.lora.variant != "vera":
        return {}
    matrices = adapted_matrices(study)
    shapes = [weights[matrix.weight].shape for matrix in matrices]
    num_out, num_in = max(shape[0] for shape in shapes), max(shape[1] for shape in shapes)
    first, second = draw_projections(num_in, num_out, matrices[0].rank, study.seed)
    return {VERA_A: first, VERA_B: second}
