"""`Payload`: encoded tensors and named values, independent of the transport that carries them."""

import sys
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.errors import WireError

Value = bool | int | float | str | list[int] | list[float] | list[str]
Arrays = dict[str, NDArray[np.float32]]
Values = dict[str, Value]


@dataclass(frozen=True)
class Payload:
    """Records of one message: each holds tensors, encoded by `wire/codec`, or values."""

    tensors: dict[str, bytes] = field(default_factory=dict)
    values: dict[str, Values] = field(default_factory=dict)

    @property
    def num_bytes(self) -> int:
        """Bytes of the tensors as encoded and of the values' text, without the engine's framing."""
        in_tensors = sum(len(record) for record in self.tensors.values())
        in_values = sum(
            len(key) + _value_bytes(value)
            for record in self.values.values()
            for key, value in record.items()
        )
        return in_tensors + in_values

    def text(self, record: str, key: str) -> str:
        """A string value; WireError if it is missing or something else."""
        value = self._value(record, key)
        if not isinstance(value, str):
            raise WireError(f"{record}.{key} is not a string. Use the same fedehr version.")
        return value

    def integer(self, record: str, key: str) -> int:
        """An integer value; WireError if it is missing or something else."""
        value = self._value(record, key)
        if isinstance(value, bool) or not isinstance(value, int):
            raise WireError(f"{record}.{key} is not an integer. Use the same fedehr version.")
        return value

    def number(self, record: str, key: str) -> float:
        """A finite number; WireError if it is missing or something else."""
        value = self._value(record, key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise WireError(f"{record}.{key} is not a number. Use the same fedehr version.")
        if not abs(value) <= sys.float_info.max:
            raise WireError(f"{record}.{key} is NaN or infinite. It was not used.")
        return float(value)

    def texts(self, record: str, key: str) -> list[str]:
        """A list of strings; WireError if it is missing or something else."""
        value = self._value(record, key)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise WireError(f"{record}.{key} is not a list of strings.")
        return [str(item) for item in value]

    def integers(self, record: str, key: str) -> list[int]:
        """A list of integers; WireError if it is missing or something else."""
        value = self._value(record, key)
        if not isinstance(value, list) or not all(type(item) is int for item in value):
            raise WireError(f"{record}.{key} is not a list of integers.")
        return [int(item) for item in value]

    def _value(self, record: str, key: str) -> Value:
        try:
            return self.values[record][key]
        except KeyError:
            raise WireError(
                f"the message lacks {record}.{key}. Use the same fedehr version."
            ) from None


def _value_bytes(value: Value) -> int:
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, list):
        return sum(len(item.encode()) if isinstance(item, str) else 8 for item in value)
    return 8
