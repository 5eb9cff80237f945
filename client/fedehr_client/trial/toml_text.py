"""`toml_text`: a config's values as TOML, for the programs that read it from a file."""

import json
from collections.abc import Iterator, Mapping
from typing import Any


def toml_text(values: Mapping[str, Any]) -> str:
    """Tables of numbers, texts, truths, and lists of these; what is None is left out."""
    return "\n".join(_table("", values)) + "\n"


def _table(name: str, values: Mapping[str, Any]) -> Iterator[str]:
    if name:
        yield f"[{name}]"
    inner = {key: value for key, value in values.items() if isinstance(value, Mapping)}
    for key, value in values.items():
        if key not in inner and value is not None:
            yield f"{_text(key)} = {_scalar(value)}"
    for key, value in inner.items():
        yield from _table(f"{name}.{_text(key)}" if name else _text(key), value)


def _scalar(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_scalar, value))}]"
    return _text(str(value))


def _text(text: str) -> str:
    # JSON's escapes are TOML's too, but for the one character that JSON leaves as it is.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
