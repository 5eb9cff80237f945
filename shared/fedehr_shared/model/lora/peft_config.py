"""`adapter_config.json`: what peft is told of a study's adapters."""

import json
import re
from typing import Any

from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import ConfigError, DataError
from fedehr_shared.model.lora.adapted_matrices import adapted_matrices, check_has_adapters

_ENCODER = "encoder."
_NAME = re.compile(r"[A-Za-z0-9_.]{1,200}")
_WITHOUT_EFFECT = frozenset({
    "auto_mapping", "base_model_name_or_path", "d_initial", "exclude_modules", "inference_mode",
    "init_weights", "layers_pattern", "layers_to_transform", "lora_dropout", "megatron_core",
    "peft_version", "qalora_group_size", "rank_pattern", "revision", "runtime_config",
    "projection_prng_key", "target_modules", "task_type", "vera_dropout",
})  # fmt: skip
"""Keys that say where adapters are or how they were trained: the tensors themselves tell the
first, and the second no longer matters."""
_READ = frozenset(
    {"alpha_pattern", "init_lora_weights", "lora_alpha", "peft_type", "r", "use_rslora"}
    | {"save_projection", "bias"}
)
_PLAIN_STARTS = (True, False, "gaussian", None)
"""Other ways to draw A and B change the base matrices as well."""


def module_in_peft(module: str) -> str:
    """A module's name in peft, whose base model is the `EventEncoder`: `blocks.0.q`."""
    return module.removeprefix(_ENCODER)


def peft_config(study: StudyConfig) -> dict[str, Any]:
    """The content of `adapter_config.json`.

    Raises:
        ConfigError: the study has no adapters, or such as peft cannot hold.
    """
    check_exportable(study)
    lora, matrices = study.lora, adapted_matrices(study)
    modules = [module_in_peft(matrix.module) for matrix in matrices]
    told = {
        "peft_type": lora.variant.upper(),
        "task_type": None,
        "base_model_name_or_path": None,
        "inference_mode": True,
        "target_modules": modules,
        "bias": "none",
        "fan_in_fan_out": False,
        "modules_to_save": None,
    }
    if lora.variant == "vera":
        return told | {"r": matrices[0].rank, "save_projection": True, "vera_dropout": 0.0}
    rank = max(matrix.rank for matrix in matrices)
    return told | {
        "r": rank,
        "lora_alpha": lora.alpha,
        "use_rslora": lora.rank_stabilized,
        "lora_dropout": 0.0,
        "init_lora_weights": True,
        "alpha_pattern": {},
        "rank_pattern": {
            name: matrix.rank
            for name, matrix in zip(modules, matrices, strict=True)
            if matrix.rank != rank
        },
    }


def check_exportable(study: StudyConfig) -> None:
    """Refuse a study whose run has no adapters of the federation that peft's format holds.

    Raises:
        ConfigError: saying which setting stands against it.
    """
    check_has_adapters(study)
    ranks = {matrix.rank for matrix in adapted_matrices(study)}
    if study.lora.variant == "vera" and len(ranks) > 1:
        raise ConfigError(
            f"[lora] layer_ranks gives layers the ranks {sorted(ranks)}, and peft's VeRA has one "
            "for all: its format cannot hold these adapters. Merge them instead."
        )


def check_peft_config(text: str, study: StudyConfig) -> None:
    """Refuse an `adapter_config.json` of other adapters than the study's.

    Ranks and modules are not read here: shapes and names of the tensors tell them.

    Raises:
        ConfigError: as `check_exportable`.
        DataError: naming the setting that differs.
    """
    check_exportable(study)
    told = _parsed(text)
    lora = study.lora
    _expect(told, "peft_type", lora.variant.upper())
    if told.get("bias", "none") != "none":
        raise _refused("bias", told["bias"], "'none'")
    if lora.variant == "vera":
        _expect(told, "save_projection", True)
    else:
        _check_scale(told, study)
    if told.get("init_lora_weights") not in _PLAIN_STARTS:
        raise _refused("init_lora_weights", told["init_lora_weights"], "true")
    for key in sorted(set(told) - _READ - _WITHOUT_EFFECT):
        if told[key] not in (None, False, "", [], {}):
            raise _refused(key, told[key], "none of it: fedehr has nothing like it")


def _check_scale(told: dict[str, Any], study: StudyConfig) -> None:
    lora = study.lora
    if bool(told.get("use_rslora", False)) is not lora.rank_stabilized:
        raise _refused("use_rslora", told.get("use_rslora"), str(lora.rank_stabilized).lower())
    pattern = told.get("alpha_pattern") or {}
    if not isinstance(pattern, dict) or not all(_NAME.fullmatch(str(key)) for key in pattern):
        raise _refused("alpha_pattern", pattern, "names of modules")
    for matrix in adapted_matrices(study):
        module = module_in_peft(matrix.module)
        hits = [key for key in pattern if module == key or module.endswith(f".{key}")]
        alpha = pattern[hits[0]] if hits else told.get("lora_alpha")
        if alpha != lora.alpha:
            raise _refused(f"lora_alpha of {module}", alpha, f"{lora.alpha:g}")


def _parsed(text: str) -> dict[str, Any]:
    try:
        told = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(
            "adapter_config.json is not valid JSON. Save the adapters again."
        ) from error
    if not isinstance(told, dict):
        raise DataError("adapter_config.json is not a JSON object. Save the adapters again.")
    return told


def _expect(told: dict[str, Any], key: str, wanted: object) -> None:
    if told.get(key) != wanted:
        raise _refused(key, told.get(key), repr(wanted))


def _refused(key: str, found: object, wanted: str) -> DataError:
    return DataError(
        f"adapter_config.json has {key[:80]!r} = {found!r:.60}, and the study asks for {wanted}. "
        "Only adapters of this study's kind can be taken in."
    )
