"""Files of variants: a name for some changed settings of a study, several in one TOML file.

    [variants.rate-15]
    "masking.rate" = 0.15

What a key may be is for the reader of the tables to say.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from fedehr_shared.config.name import Name
from fedehr_shared.errors import ConfigError

Changes = dict[str, Any]


def read_variant_tables(path: Path) -> dict[str, Changes]:
    """By name, in the order of the file, each variant's settings by dotted key.

    Raises:
        ConfigError: the file is missing, is not TOML, or holds something else than tables
            `[variants.NAME]`.
    """
    content = _read(path)
    tables = content.pop("variants", None)
    if content or not isinstance(tables, dict) or not tables:
        odd = ", ".join(sorted(content)) or "no [variants.NAME]"
        raise ConfigError(f"{path} must hold tables [variants.NAME] alone (found {odd}).")
    return {name: _settings(name, table, path) for name, table in tables.items()}


def place_of(path: Path, name: str) -> str:
    """How a message names a variant."""
    return f"{path} [variants.{name}]"


def apply_changes(
    values: dict[str, Any], changes: Mapping[str, Any], replaced: Mapping[str, tuple[str, ...]]
) -> None:
    """Set `changes` in a study's values, section by section.

    Args:
        values: as `model_dump` gives them; changed in place.
        changes: by dotted key.
        replaced: by dotted key, keys of the same section that mean the same and step back for it,
            unless they are changed too.
    """
    for key, value in changes.items():
        *sections, name = key.split(".")
        settings = values
        for section in sections:
            settings = settings.setdefault(section, {})
        prefix = ".".join(sections)
        for other in replaced.get(key, ()):
            if f"{prefix}.{other}" not in changes:
                settings.pop(other, None)
        settings[name] = value


def flat(table: Mapping[str, Any], prefix: str = "") -> Changes:
    """Dotted keys, also of those that TOML has read as tables within tables."""
    found: Changes = {}
    for key, value in table.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}: {error.strerror}. Check the path and its permissions."
        ) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}. Mend that line.") from error


def _settings(name: str, table: object, path: Path) -> Changes:
    where = place_of(path, name)
    try:
        TypeAdapter(Name).validate_python(name)
    except ValidationError as error:
        raise ConfigError(
            f"{where}: a name has small letters, digits, '_' and '-' alone."
        ) from error
    if not isinstance(table, dict):
        raise ConfigError(f"{where} is no table. Write settings below [variants.{name}].")
    return flat(table)
