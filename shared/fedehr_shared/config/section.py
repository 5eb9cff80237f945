"""The base of every config section, and the reading of a TOML file into one."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fedehr_shared.errors import ConfigError

FilePath = Annotated[Path, Field(strict=False)]
"""A path, which TOML and JSON write as text."""


class Section(BaseModel):
    """A frozen section that refuses keys it does not know.

    Values are taken as what they are: no text for a number or for a yes, no 1 for true.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _lists_are_tuples(cls, value: object) -> object:
        """A frozen section holds tuples; TOML and JSON have lists."""
        return _frozen(value)


AnySection = TypeVar("AnySection", bound=Section)


def _frozen(value: object) -> object:
    if isinstance(value, list):
        return tuple(_frozen(item) for item in value)
    if type(value) is dict:
        return {key: _frozen(item) for key, item in value.items()}
    return value


def read_toml(path: Path, kind: type[AnySection]) -> AnySection:
    """Read `path` as TOML into `kind`.

    Raises:
        ConfigError: the file is missing, is not TOML, or holds an unknown or wrong key;
            each wrong key is named on a line of its own.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}: {error.strerror}. Check the path and its permissions."
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text. Save it as UTF-8.") from error
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}. Mend that line.") from error
    except (ValueError, RecursionError) as error:
        # A number of thousands of digits, lists within lists within lists.
        raise ConfigError(f"{path} is not valid TOML: a value in it is too large.") from error
    return parse(values, kind, str(path))


def parse(values: object, kind: type[AnySection], source: str) -> AnySection:
    """Validate `values` as `kind`; `source` names where they came from in the error.

    Raises:
        ConfigError: one line for each wrong key.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise ConfigError(_explain(error, source)) from error


def _explain(error: ValidationError, source: str) -> str:
    lines = [f"{source} has {error.error_count()} wrong setting(s):"]
    for problem in error.errors(include_url=False):
        key = ".".join(str(part) for part in problem["loc"]) or "(whole file)"
        if problem["type"] == "extra_forbidden":
            lines.append(f"  {key}: unknown key. Remove it or mend its spelling.")
        else:
            lines.append(f"  {key}: {_told(problem)} (found {problem['input']!r:.60}).")
    return "\n".join(lines)


_NEEDED = {
    "tuple_type": "a list, in square brackets,",
    "bool_type": "true or false, without quotes,",
    "int_type": "a whole number, without quotes,",
    "float_type": "a number, without quotes,",
    "path_type": "a path, in quotes,",
    "string_type": "a text, in quotes,",
}


def _told(problem: Mapping[str, Any]) -> str:
    """As somebody who writes TOML knows it, not as the library that reads it."""
    if problem["type"] in _NEEDED:
        return f"{_NEEDED[problem['type']]} is needed"
    return str(problem["msg"]).removeprefix("Value error, ")
