"""`TuningVariant`: a way to fine-tune, with the settings among which the tuning split chooses.

    [variants.lora]
    "finetuning.tuning" = "lora"
    grid."finetuning.learning_rate" = [1e-3, 3e-3]
    noise_multiplier = 0.01
    clip_norm = 0.5

Only what is compared may vary: records, labels and the pre-trained model are the same for all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from fedehr_shared.config.section import parse
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import ConfigError
from fedehr_simulations.tuning_trials.noise import UpdateNoise
from fedehr_simulations.variant_tables import (
    Changes,
    apply_changes,
    place_of,
    read_variant_tables,
)

VARIED = ("exchange", "finetuning", "lora", "loss", "tasks")
"""Sections whose keys a variant may set, beside `model.pooling`."""
_VARIED_KEY, _FIXED_KEY = "model.pooling", "finetuning.tasks"
_GRID, _MULTIPLIER, _CLIP = "grid.", "noise_multiplier", "clip_norm"
_REPLACED = {"finetuning.epochs_per_round": ("steps_per_round",)}


@dataclass(frozen=True)
class Candidate:
    """One point of a variant's grid.

    Attributes:
        settings: by dotted key, what the grid sets.
        study: with the variant's changes and these.
        pretraining: the study that pre-trains for it; None: the one that all share.
    """

    settings: dict[str, Any]
    study: StudyConfig
    pretraining: StudyConfig | None = None


@dataclass(frozen=True)
class TuningVariant:
    """A way to fine-tune.

    Attributes:
        name: the variant's.
        changes: by dotted key, the same for all candidates.
        noise: what is done to the sites' updates; None: nothing.
        candidates: one or more, in the order of the grid.
    """

    name: str
    changes: dict[str, Any]
    noise: UpdateNoise | None
    candidates: tuple[Candidate, ...]


def read_tuning_variants(study: StudyConfig, path: Path) -> tuple[TuningVariant, ...]:
    """The variants of a file, in its order.

    Raises:
        ConfigError: the file is missing or is not TOML; a name, key or value is wrong.
    """
    tables = read_variant_tables(path)
    return tuple(
        tuning_variant(study, name, table, place_of(path, name)) for name, table in tables.items()
    )


def tuning_variant(
    study: StudyConfig, name: str, table: Changes, where: str, varied: Sequence[str] = VARIED
) -> TuningVariant:
    """The variant of one table.

    Args:
        study: what it changes.
        name: the variant's.
        table: by dotted key, with what is below `grid`.
        where: how a message names the table.
        varied: sections whose keys it may set.

    Raises:
        ConfigError: a key or value is wrong.
    """
    changes = {key: value for key, value in table.items() if not key.startswith(_GRID)}
    noise = _noise(changes, where)
    grid = {
        key.removeprefix(_GRID): _choices(key, value, where)
        for key, value in table.items()
        if key.startswith(_GRID)
    }
    for key in (*changes, *grid):
        _require_varied(key, where, varied)
    twice = sorted(set(changes) & set(grid))
    if twice:
        raise ConfigError(f"{where}: '{twice[0]}' is set, and in the grid too. Leave out one.")
    points = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
    candidates = tuple(
        Candidate(point, _changed(study, {**changes, **point}, where)) for point in points
    )
    if noise is not None:
        _require_no_moments(candidates, where)
    return TuningVariant(name, changes, noise, candidates)


def _choices(key: str, value: object, where: str) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise ConfigError(f"{where}: {key} is a list of one value or more (found {value!r}).")
    return value


def _require_varied(key: str, where: str, varied: Sequence[str]) -> None:
    is_varied = key.split(".", maxsplit=1)[0] in varied and "." in key and key != _FIXED_KEY
    if not is_varied and key != _VARIED_KEY:
        raise ConfigError(
            f"{where}: '{key}' cannot vary. Keys of [{'], ['.join(varied)}] and {_VARIED_KEY} can, "
            f'written as "finetuning.tuning" = "lora", but not {_FIXED_KEY}; all else is the same '
            "for every variant, so that they are compared on the same model and labels."
        )


def _noise(changes: Changes, where: str) -> UpdateNoise | None:
    """Takes its keys out of `changes`."""
    multiplier, clip_norm = changes.pop(_MULTIPLIER, None), changes.pop(_CLIP, None)
    if multiplier is None and clip_norm is None:
        return None
    for key, number in ((_MULTIPLIER, multiplier), (_CLIP, clip_norm)):
        is_number = isinstance(number, int | float) and not isinstance(number, bool)
        if not is_number or not number >= 0 or (key == _CLIP and number == 0):
            raise ConfigError(
                f"{where}: {_MULTIPLIER} (0 or more) and {_CLIP} (above 0) are given together "
                f"(found {key} = {number!r})."
            )
    return UpdateNoise(float(multiplier), float(clip_norm))


def _changed(study: StudyConfig, changes: Mapping[str, Any], where: str) -> StudyConfig:
    values = study.model_dump(exclude_unset=True)
    apply_changes(values, changes, _REPLACED)
    return parse(values, StudyConfig, where)


def _require_no_moments(candidates: tuple[Candidate, ...], where: str) -> None:
    """Moments would carry past the noise what the update may not."""
    if any(c.study.finetuning.optimizer_state == "averaged" for c in candidates):
        raise ConfigError(
            f"{where}: with {_MULTIPLIER} nothing but the update may leave a site: set "
            '"finetuning.optimizer_state" = "kept" or "fresh".'
        )
