"""Predictions lined up with the held-out examples, and their file.

A comparison happens on the researcher's own machine, which holds all records anyway; the
file names subjects and is therefore for its owner's eyes only (mode 0600).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fedehr_shared.errors import FedehrError
from fedehr_simulations.outcome.held_out import HeldOut
from fedehr_simulations.private_file import private_opener

PREDICTIONS_FILE = "predictions.parquet"


@dataclass(frozen=True)
class SitePredictions:
    """What a model says of some subjects.

    Attributes:
        subject_ids: `[n]` int64.
        times: `[n]` int64, prediction times in microseconds since 1970.
        probabilities: `[n, outputs]`, task after task, NaN where there is no model.
    """

    subject_ids: NDArray[np.int64]
    times: NDArray[np.int64]
    probabilities: NDArray[np.float64]


def align(held_out: HeldOut, predictions: Mapping[str, SitePredictions]) -> NDArray[np.float64]:
    """Probabilities for each held-out row, from the predictions for its site.

    Args:
        held_out: the rows.
        predictions: by site; a site may be missing, then its rows are NaN. They may hold
            more subjects than the site, as a pooled model's do.

    Returns:
        `[rows, outputs]`.

    Raises:
        FedehrError: predictions for a site lack one of its rows, so that arms would be
            compared on different subjects.
    """
    widths = {told.probabilities.shape[1] for told in predictions.values()}
    width = widths.pop() if widths else held_out.labels.shape[1]
    aligned = np.full((len(held_out), width), np.nan)
    for site, told in predictions.items():
        pairs = zip(told.subject_ids.tolist(), told.times.tolist(), strict=True)
        places = {pair: place for place, pair in enumerate(pairs)}
        rows = np.flatnonzero(held_out.sites == site)
        wanted = zip(
            held_out.subject_ids[rows].tolist(), held_out.times[rows].tolist(), strict=True
        )
        found = [places.get(pair, -1) for pair in wanted]
        if -1 in found:
            raise FedehrError(
                f"{found.count(-1)} held-out example(s) of site '{site}' have no prediction. "
                "The records changed while the study ran; run it again."
            )
        aligned[rows] = told.probabilities[found]
    return aligned


def write_predictions(path: Path, held_out: HeldOut, probabilities: NDArray[np.float64]) -> None:
    """Write one row a held-out example: its key, then label and probability a task.

    Where tasks have several outputs these follow as `output.<place>`, task after task.
    """
    columns: dict[str, pa.Array] = {
        "site": pa.array(held_out.sites.tolist(), pa.string()),
        "subject_id": pa.array(held_out.subject_ids),
        "prediction_time": pa.array(held_out.times, pa.timestamp("us")),
    }
    for column, task in enumerate(held_out.tasks):
        columns[f"{task}.label"] = _nullable(held_out.labels[:, column])
        if probabilities.shape[1] == len(held_out.tasks):
            columns[f"{task}.probability"] = _nullable(probabilities[:, column])
    if probabilities.shape[1] != len(held_out.tasks):
        for place, output in enumerate(probabilities.T):
            columns[f"output.{place}"] = _nullable(output)
    with open(path, "wb", opener=private_opener) as file:
        pq.write_table(pa.table(columns), file, compression="zstd")


def _nullable(values: NDArray[np.float64]) -> pa.Array:
    return pa.array(values, mask=np.isnan(values))
