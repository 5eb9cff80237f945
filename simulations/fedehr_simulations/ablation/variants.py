"""`Variant`: a name for some changed settings of a study, and the file that lists them.

    [variants.rate-15]
    "masking.rate" = 0.15

    [variants.pooled]
    records = "pooled"

Only what is compared may vary: the tokens, the splits, the labels and the masks of the
evaluation are the same for all.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedehr_shared.config.section import parse
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import ConfigError
from fedehr_simulations.variant_tables import apply_changes, place_of, read_variant_tables

VARIED = ("masking", "model", "objective", "pretraining")
"""Sections whose keys a variant may set."""
RECORDS = "records"
"""The one key that is not the study's: `federated` (as without it) or `pooled`."""
_REPLACED = {
    "model.size": ("layers", "hidden", "heads"),
    "pretraining.epochs_per_round": ("steps_per_round",),
}
"""Keys of the same section that mean the same and step back for a variant's."""


@dataclass(frozen=True)
class Variant:
    """A changed study.

    Attributes:
        name: of the variant; its runs lie in a folder of this name.
        changes: by dotted key.
        pooled: all records in one place instead of a federation.
        study: with the changes, and without fine-tuning.
    """

    name: str
    changes: dict[str, Any]
    pooled: bool
    study: StudyConfig


def read_variants(study: StudyConfig, path: Path) -> tuple[Variant, ...]:
    """The variants of a file, in its order.

    Raises:
        ConfigError: the file is missing or is not TOML; a name, key or value is wrong.
    """
    tables = read_variant_tables(path)
    return tuple(_variant(study, name, table, path) for name, table in tables.items())


def _variant(study: StudyConfig, name: str, table: Mapping[str, Any], path: Path) -> Variant:
    where, changes = place_of(path, name), dict(table)
    records = changes.pop(RECORDS, "federated")
    if records not in {"federated", "pooled"}:
        raise ConfigError(f"{where}: {RECORDS} is 'federated' or 'pooled' (found {records!r}).")
    for key in changes:
        if key.count(".") != 1 or key.split(".")[0] not in VARIED:
            raise ConfigError(
                f"{where}: '{key}' cannot vary. Keys of [{'], ['.join(VARIED)}] can, written "
                'as "masking.rate" = 0.15; all else is the same for every variant, so that '
                "they are compared on the same tokens, masks and labels."
            )
    changed = parse(_changed(study, changes), StudyConfig, where)
    return Variant(name, changes, records == "pooled", changed)


def _changed(study: StudyConfig, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The study's own settings with the changes; no round of fine-tuning."""
    values: dict[str, Any] = study.model_dump(exclude_unset=True)
    values["finetuning"]["rounds"] = 0
    apply_changes(values, changes, _REPLACED)
    return values
