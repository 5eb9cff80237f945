"""`BagRun`: a bag of tokens with one draw of labels, for logistic regression or boosting."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fedehr_server.vocabulary_shelf import FOLDER_NAME as VOCABULARIES
from fedehr_server.vocabulary_shelf import VocabularyShelf
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.meds.schema import HELD_OUT, TRAIN, TUNING
from fedehr_simulations.ablation.commit import describe_commit
from fedehr_simulations.arms.bag_features import AgeScale, stack_features, stack_labels
from fedehr_simulations.arms.bag_of_tokens import Bag, read_bags
from fedehr_simulations.arms.boosting import BOOSTING, fit_boosting
from fedehr_simulations.arms.logistic import LOGISTIC, fit_task
from fedehr_simulations.efficiency.arm_result import ArmFigures, ArmResult, key_of
from fedehr_simulations.efficiency.label_set import LabelSet
from fedehr_simulations.tuning_trials.scores import SplitScores


class TaskModel(Protocol):
    """What either arm fits."""

    def predict(self, features: Any) -> NDArray[np.float64]:
        """Probabilities: `[rows, tokens + 1]` to `[rows]`, NaN without a model."""
        ...


@dataclass(frozen=True)
class BagRun:
    """A piece of work; see `Piece`.

    Attributes:
        arm: `logistic` or `boosting`.
        study: with its seed and vocabulary.
        labels: what it may learn from, and where it is scored.
        shelves: the folder that holds the vocabulary.
        folder: where the result is kept.
        scratch: below it each process keeps its token stores from piece to piece.
    """

    arm: str
    study: StudyConfig
    labels: LabelSet
    shelves: Path
    folder: Path
    scratch: Path

    @property
    def title(self) -> str:
        """The piece in a few words."""
        return f"{self.arm}, {self.labels.title}"

    @property
    def work(self) -> Path:
        """The process's own place for token stores."""
        return self.scratch / str(os.getpid())

    @property
    def key(self) -> str:
        """Of all that decides what comes out."""
        study = self.study
        # Settings of training change nothing here.
        parts = (study.vocabulary.reuse, study.cohort, study.sequence, study.finetuning.tasks)
        return key_of(self.arm, study.seed, *parts, self.labels.key)

    def finished(self) -> ArmResult | None:
        """What an earlier call left.

        Raises:
            DataError: a file is damaged or of another study.
        """
        return ArmResult.read(self.folder, self.key)

    def carry_out(self) -> ArmResult:
        """Fit one model a task, tuned on the tuning split, and score it.

        Raises:
            DataError: a file is damaged.
        """
        began = time.process_time()
        with self.labels.folder(self.work / "labels") as sites:
            bags = self._bags(sites)
        age = AgeScale.of(np.concatenate([site[TRAIN].ages for site in bags]))
        models = self._fit(bags, age)
        scores = {
            place: self._scores(models, [site[HELD_OUT] for site in self._bags(sites)], age)
            for place, sites in self.labels.scored.items()
        }
        tuning = self._scores(models, [site[TUNING] for site in bags], age).auroc(min_cell=1)
        told = [value for value in tuning.values() if value is not None]
        figures = ArmFigures(
            arm=self.arm,
            seed=self.study.seed,
            num_labels=self.labels.num,
            key=self.key,
            chosen="by task",
            tuning_auroc=float(np.mean(told)) if told else None,
            num_candidates=1,
            cpu_seconds=round(time.process_time() - began, 3),
            commit=describe_commit(),
        )
        result = ArmResult(figures, scores)
        result.write(self.folder)
        return result

    def _bags(self, sites: Sequence[SiteFolder]) -> list[dict[str, Bag]]:
        vocabulary = VocabularyShelf(self.shelves / VOCABULARIES).take(self.study.vocabulary.reuse)
        return [read_bags(self.study, site, vocabulary, self.work) for site in sites]

    def _fit(self, bags: Sequence[dict[str, Bag]], age: AgeScale) -> list[TaskModel]:
        by_split = {split: [site[split] for site in bags] for split in (TRAIN, TUNING)}
        features = {split: stack_features(own, age) for split, own in by_split.items()}
        models: list[TaskModel] = []
        for task in range(len(self.study.finetuning.tasks)):
            labels = {split: stack_labels(own, task) for split, own in by_split.items()}
            if self.arm == LOGISTIC:
                models.append(fit_task(features, labels))
            else:
                models.append(fit_boosting(features, labels, self.study.seed))
        return models

    def _scores(
        self, models: Sequence[TaskModel], bags: Sequence[Bag], age: AgeScale
    ) -> SplitScores:
        tasks = self.study.finetuning.tasks
        features = stack_features(bags, age)
        told = np.stack([model.predict(features) for model in models], axis=1)
        ids = np.concatenate([bag.examples.subject_ids for bag in bags])
        _, numbers = np.unique(ids, return_inverse=True)
        return SplitScores(
            views=tuple(tasks),
            subjects=np.asarray(numbers, dtype=np.int64),
            labels=np.stack([stack_labels(bags, task) for task in range(len(tasks))], axis=1),
            # Without a model there is no order.
            probabilities=np.nan_to_num(told, nan=0.5),
        )


BAG_ARMS = (LOGISTIC, BOOSTING)
