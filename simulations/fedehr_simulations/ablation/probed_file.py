"""The probes of one run, subject by subject: what runs are compared by in pairs.

The file holds no number of a subject; it is for its owner's eyes only all the same (mode 0600).
"""

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.errors import DataError
from fedehr_simulations.private_file import replacing
from fedehr_simulations.probe.probing import ProbedTask

PROBED_FILE = "probed.npz"
_ALL = "all"


def write_probed(path: Path, probed: Sequence[ProbedTask]) -> None:
    """Write the file, whole or not at all."""
    arrays: dict[str, Any] = {}
    for task in probed:
        name = f"{task.task}/{_ALL if task.num_labels is None else task.num_labels}"
        arrays[f"{name}/labels"] = task.labels
        arrays[f"{name}/subjects"] = task.subjects
        arrays[f"{name}/scores"] = np.stack(task.scores)
    with replacing(path) as file:
        np.savez_compressed(file, **arrays)


def read_probed(path: Path) -> tuple[ProbedTask, ...]:
    """Read what `write_probed` wrote.

    Raises:
        DataError: the file is missing or damaged.
    """
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = dict(file)
    except (OSError, EOFError, ValueError, BadZipFile, zlib.error) as error:
        raise DataError(
            f"{path} is missing or damaged. Remove its folder, and the run is done again."
        ) from error
    names = dict.fromkeys(name.rpartition("/")[0] for name in arrays)
    return tuple(_task(name, arrays) for name in names)


def _task(name: str, arrays: dict[str, NDArray[np.generic]]) -> ProbedTask:
    task, _, num = name.partition("/")
    return ProbedTask(
        task=task,
        num_labels=None if num == _ALL else int(num),
        labels=np.asarray(arrays[f"{name}/labels"], dtype=np.float64),
        subjects=np.asarray(arrays[f"{name}/subjects"], dtype=np.int64),
        scores=tuple(np.asarray(arrays[f"{name}/scores"], dtype=np.float64)),
    )
