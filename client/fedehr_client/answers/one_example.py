"""`one_example_each`: a split in which every subject stands once for each task."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fedehr_client.training.examples import Examples
from fedehr_shared.seeds import derive_generator


def one_example_each(examples: Examples, *seed_parts: str | int) -> Examples:
    """The same split with one label a subject and task, drawn from those that it has.

    What is told of a split is told by subjects: `min_cell` examples of a single subject would
    otherwise pass for so many people, and intervals would take them for independent.

    Args:
        examples: of one split.
        seed_parts: of the draw, which is the same whenever the split is scored.
    """
    labels = np.full_like(examples.labels, np.nan)
    order = derive_generator(*seed_parts, "one example").permutation(len(examples))
    for column in range(labels.shape[1]):
        chosen = _first_of_each(order[~np.isnan(examples.labels[order, column])], examples)
        labels[chosen, column] = examples.labels[chosen, column]
    keep = np.flatnonzero(~np.isnan(labels).all(axis=1))
    return replace(
        examples,
        subject_ids=examples.subject_ids[keep],
        prediction_times=examples.prediction_times[keep],
        windows=examples.windows[keep],
        labels=labels[keep],
    )


def _first_of_each(rows: NDArray[np.int64], examples: Examples) -> NDArray[np.int64]:
    """Of rows in some order, the first of each subject."""
    _, places = np.unique(examples.subject_ids[rows], return_index=True)
    return rows[places]
