"""`BagFit`: a model a task on the pooled bags of tokens of all sites."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.config.study import StudyConfig
from fedehr_shared.meds.folder import FederationFolder
from fedehr_shared.meds.schema import HELD_OUT, TRAIN, TUNING
from fedehr_shared.vocabulary.vocabulary import Vocabulary
from fedehr_simulations.arms.bag_features import AgeScale, stack_features, stack_labels
from fedehr_simulations.arms.bag_of_tokens import read_bags
from fedehr_simulations.arms.piece import PieceResult
from fedehr_simulations.outcome.predictions import SitePredictions

FITTED = (TRAIN, TUNING)
"""The splits that a fit may see."""


class BagModel(Protocol):
    """A fitted model of one task."""

    def predict(self, features: Any) -> NDArray[np.float64]:
        """Probabilities: `[rows, tokens + 1]` to `[rows]`, NaN without a model."""
        ...


@dataclass(frozen=True)
class BagFit(ABC):
    """Fits one model a task; see `Piece`.

    Attributes:
        study: the study, with its seed.
        federation: the federation folder.
        vocabulary: the text of the vocabulary.
        folder: unused but for logs.
        work: scratch.
    """

    study: StudyConfig
    federation: Path
    vocabulary: str
    folder: Path
    work: Path
    arm: ClassVar[str]

    @property
    def title(self) -> str:
        """The fit in a few words."""
        return f"{self.arm}, seed {self.study.seed}"

    @abstractmethod
    def fit(
        self, features: Mapping[str, Any], labels: Mapping[str, NDArray[np.float64]]
    ) -> BagModel:
        """The model that ranks the tuning split best.

        Args:
            features: by split, `[rows, tokens + 1]`: counts, and the scaled age last.
            labels: by split, `[rows]`: 0, 1 or NaN.
        """

    def carry_out(self) -> PieceResult:
        """Fit and predict for every site.

        Raises:
            DataError: a file is damaged.
        """
        vocabulary = Vocabulary.from_json(self.vocabulary)
        bags = {
            site.name: read_bags(self.study, site, vocabulary, self.work)
            for site in FederationFolder(self.federation).sites
        }
        age = AgeScale.of(np.concatenate([site[TRAIN].ages for site in bags.values()]))
        by_split = {split: [site[split] for site in bags.values()] for split in FITTED}
        features = {split: stack_features(own, age) for split, own in by_split.items()}
        models = [
            self.fit(features, {split: stack_labels(own, task) for split, own in by_split.items()})
            for task in range(len(self.study.finetuning.tasks))
        ]
        predictions = {}
        for name, site in bags.items():
            told, rows = site[HELD_OUT].examples, stack_features([site[HELD_OUT]], age)
            predictions[name] = SitePredictions(
                told.subject_ids,
                told.prediction_times,
                np.stack([model.predict(rows) for model in models], axis=1),
            )
        return PieceResult(self.arm, self.study.seed, predictions)
