"""`SplitScores`: what a fine-tuned model says of one split, and the file that keeps it.

The file holds no number of a subject; it is for its owner's eyes only all the same (mode 0600).
"""

import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from fedehr_client.answers.site_data import SiteData
from fedehr_client.compute.compute import choose_compute
from fedehr_client.training.prediction import predict
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import DataError
from fedehr_shared.metrics.binary import METRICS
from fedehr_shared.metrics.outcomes import binary_views, task_columns
from fedehr_shared.wire.payload import Arrays
from fedehr_simulations.private_file import replacing
from fedehr_simulations.sites_compute import sites_compute

SCORES_FILE = "scores.npz"
_PARTS = ("views", "subjects", "labels", "probabilities")


@dataclass(frozen=True)
class SplitScores:
    """Yes-or-no questions about the examples of one split, of all sites.

    Attributes:
        views: the questions' names, see `binary_views`.
        subjects: `[n]`, numbers of subjects from 0.
        labels: `[n, views]`: 0, 1, or NaN where a question has no answer.
        probabilities: `[n, views]`.
    """

    views: tuple[str, ...]
    subjects: NDArray[np.int64]
    labels: NDArray[np.float64]
    probabilities: NDArray[np.float64]

    @property
    def digest(self) -> str:
        """Of what is asked of whom and the true answers."""
        digest = hashlib.sha256("\n".join(self.views).encode())
        digest.update(self.subjects.tobytes() + self.labels.tobytes())
        return digest.hexdigest()

    def known(self, view: int) -> NDArray[np.bool_]:
        """The examples with an answer. `[n]`."""
        return ~np.isnan(self.labels[:, view])

    def is_told(self, view: int, min_cell: int) -> bool:
        """Whether there are enough positives and negatives."""
        labels = self.labels[self.known(view), view]
        return bool(min(labels.sum(), (1 - labels).sum()) >= min_cell)

    def auroc(self, min_cell: int) -> dict[str, float | None]:
        """By view; None where there are too few positives or negatives."""
        return {
            name: self._auroc(view) if self.is_told(view, min_cell) else None
            for view, name in enumerate(self.views)
        }

    def _auroc(self, view: int) -> float:
        known = self.known(view)
        once = np.ones((1, int(known.sum())))
        labels, scores = self.labels[known, view], self.probabilities[known, view]
        return float(METRICS["auroc"](labels, scores, once)[0])


@dataclass(frozen=True)
class TunedSite:
    """A site's records and the model as the site has it."""

    data: SiteData
    weights: Arrays


def score_split(study: StudyConfig, sites: Sequence[TunedSite], split: str) -> SplitScores:
    """Predict for all sites' examples of a split.

    Raises:
        FedehrError: the weights do not fit, or a site lacks labels.
    """
    names: list[str] = []
    subjects, labels, probabilities = [], [], []
    for site in sites:
        data = site.data
        examples = data.examples(split)
        told = predict(
            study,
            data.store,
            examples,
            num_tokens=data.num_tokens,
            weights=site.weights,
            compute=choose_compute(sites_compute(num_threads=1), study),
        )
        views = [
            view
            for column, (task, own) in enumerate(
                zip(study.finetuning.tasks, task_columns(study.task_configs), strict=True)
            )
            for view in binary_views(
                task, study.task(task), examples.labels[:, column], told[:, own]
            )
        ]
        names = [view.name for view in views]
        subjects.append(examples.subject_ids)
        labels.append(_columns([np.where(v.known, v.labels, np.nan) for v in views], len(examples)))
        probabilities.append(_columns([view.probabilities for view in views], len(examples)))
    _, numbers = np.unique(np.concatenate(subjects), return_inverse=True)
    return SplitScores(
        tuple(names),
        np.asarray(numbers, dtype=np.int64),
        np.concatenate(labels),
        np.concatenate(probabilities),
    )


def write_scores(path: Path, scores: SplitScores) -> None:
    """Write the file, whole or not at all."""
    with replacing(path) as file:
        np.savez_compressed(
            file,
            views=np.asarray(scores.views, dtype=np.str_),
            subjects=scores.subjects,
            labels=scores.labels,
            probabilities=scores.probabilities,
        )


def read_scores(path: Path) -> SplitScores:
    """Read what `write_scores` wrote.

    Raises:
        DataError: the file is missing or damaged.
    """
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            views, subjects, labels, probabilities = (file[part] for part in _PARTS)
    except (OSError, EOFError, KeyError, ValueError, BadZipFile, zlib.error) as error:
        raise DataError(
            f"{path} is missing or damaged. Remove its folder, and the run is done again."
        ) from error
    return SplitScores(tuple(views.tolist()), subjects, labels, probabilities)


def _columns(parts: Sequence[NDArray[np.float64]], num: int) -> NDArray[np.float64]:
    """`[num, parts]`, of which there may be none."""
    return np.stack(parts, axis=1) if parts else np.empty((num, 0))
