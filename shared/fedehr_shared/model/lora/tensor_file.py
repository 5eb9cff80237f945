"""A file of tensors from elsewhere: read only when it holds exactly what is expected."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from fedehr_shared.errors import DataError

Arrays = dict[str, NDArray[np.float32]]
_DTYPES = {"F32", "F16"}
_MOST_HEADER_BYTES = 10_000_000
_FLOAT_BYTES = 4


def read_tensor_file(file: Path, shapes: Mapping[str, tuple[int, ...]]) -> Arrays:
    """Tensors of exactly these names and shapes, as float32.

    Names, dtypes and shapes are looked at before a value is read.

    Args:
        file: safetensors; whoever made it is not trusted.
        shapes: by name.

    Raises:
        DataError: naming the first tensor that is missing, unknown, of another shape or dtype,
            or holds NaN or infinity; or the file is none.
    """
    _check_size(file, shapes)
    try:
        with safe_open(file, framework="numpy") as opened:
            _check_names(file, set(opened.keys()), set(shapes))
            for name, shape in shapes.items():
                _check_form(file, name, opened.get_slice(name), shape)
            found = {name: opened.get_tensor(name).astype(np.float32) for name in shapes}
    except (OSError, SafetensorError, ValueError, TypeError) as error:
        raise DataError(f"{file} is not a file of safetensors, or is damaged.") from error
    for name, value in found.items():
        if not np.isfinite(value).all():
            raise DataError(f"{file}: tensor {name} holds NaN or infinity. Nothing was used.")
    return found


def _check_size(file: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
    # A pipe or a device would never end.
    if not file.is_file():
        raise DataError(f"{file} is missing. Name a folder that holds it.")
    most = _MOST_HEADER_BYTES + sum(
        _FLOAT_BYTES * int(np.prod(shape, dtype=np.int64)) for shape in shapes.values()
    )
    if file.stat().st_size > most:
        raise DataError(f"{file} is larger than the {most:,} bytes that the study's tensors take.")


def _check_names(file: Path, found: set[str], wanted: set[str]) -> None:
    missing, unknown = sorted(wanted - found), sorted(found - wanted)
    if missing:
        raise DataError(f"{file} lacks {len(missing)} tensor(s), as {missing[0]}.")
    if unknown:
        # Whatever a stranger wrote there must not reach a terminal as it is.
        raise DataError(
            f"{file} holds {len(unknown)} tensor(s) that the study's model lacks, as "
            f"{unknown[0][:120]!a}."
        )


def _check_form(file: Path, name: str, form: object, shape: tuple[int, ...]) -> None:
    found, dtype = tuple(form.get_shape()), form.get_dtype()  # type: ignore[attr-defined]
    if found != shape:
        raise DataError(f"{file}: tensor {name} has shape {found}, and the study's has {shape}.")
    if dtype not in _DTYPES:
        raise DataError(f"{file}: tensor {name} is {dtype}. Save it as float32 or float16.")
