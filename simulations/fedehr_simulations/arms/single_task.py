"""The single-task arm: each task fine-tuned alone, from the federated arm's pre-trained model.

Beside it the federated arm, which learns all tasks at once, shows what they gain or lose by it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.config.study import StudyConfig
from fedehr_shared.meds.folder import FederationFolder
from fedehr_simulations.arms.federated import FederatedRun
from fedehr_simulations.arms.piece import PieceResult
from fedehr_simulations.arms.reused_model import finetune, reusing
from fedehr_simulations.outcome.finished_run import predict_held_out
from fedehr_simulations.outcome.predictions import SitePredictions

SINGLE_TASK = "single_task"


@dataclass(frozen=True)
class SingleTaskRun:
    """One fine-tuning a task; see `Piece`.

    Attributes:
        federated: the finished run of the same seed.
        folder: where the runs are kept, one folder a task.
        work: scratch.
    """

    federated: FederatedRun
    folder: Path
    work: Path

    @property
    def title(self) -> str:
        """The runs in a few words."""
        return f"{SINGLE_TASK}, seed {self.federated.study.seed}"

    def carry_out(self) -> PieceResult:
        """Fine-tune and predict, task after task.

        Raises:
            FedehrError: a study could not go on.
        """
        study = reusing(self.federated)
        sites = FederationFolder(self.federated.federation).sites
        by_task: list[dict[str, SitePredictions]] = []
        for task in study.finetuning.tasks:
            alone, run_folder = of_one_task(study, task), self.folder / "runs" / task
            holders = [site for site in sites if task in site.tasks]
            finetune(alone, self.federated, holders, run_folder, self.work / task)
            by_task.append(
                {
                    site.name: predict_held_out(
                        alone, run_folder, site, self.work / task, records=site
                    )
                    for site in holders
                }
            )
        predictions = {
            site.name: side_by_side([told.get(site.name) for told in by_task]) for site in sites
        }
        return PieceResult(SINGLE_TASK, study.seed, predictions)


def of_one_task(study: StudyConfig, task: str) -> StudyConfig:
    """The same study with one of its tasks, whose weight then says nothing."""
    finetuning = study.finetuning.model_copy(update={"tasks": (task,)})
    own = {name: config for name, config in study.tasks.items() if name == task}
    loss = study.loss.model_copy(update={"task_weights": "equal"})
    tasks = {name: config.model_copy(update={"weight": 1.0}) for name, config in own.items()}
    return study.model_copy(update={"finetuning": finetuning, "tasks": tasks, "loss": loss})


def side_by_side(by_task: Sequence[SitePredictions | None]) -> SitePredictions:
    """The tasks' predictions in one table, task after task.

    Args:
        by_task: in the order of the study's tasks, each with one column; None: the site has no
            labels for it. A row that a task has not is NaN there.
    """
    rows: dict[tuple[int, int], NDArray[np.float64]] = {}
    for column, told in enumerate(by_task):
        if told is None:
            continue
        keys = zip(told.subject_ids.tolist(), told.times.tolist(), strict=True)
        for key, probability in zip(keys, told.probabilities[:, 0].tolist(), strict=True):
            rows.setdefault(key, np.full(len(by_task), np.nan))[column] = probability
    ordered = sorted(rows)
    return SitePredictions(
        np.asarray([subject for subject, _ in ordered], dtype=np.int64),
        np.asarray([time for _, time in ordered], dtype=np.int64),
        np.stack([rows[key] for key in ordered]) if rows else np.empty((0, len(by_task))),
    )
