"""The single-task arm: each task fine-tuned alone, from the federated arm's pre-trained model.

Beside it the federated arm, which learns all tasks at once, shows what they gain or lose by it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.meds.folder import FederationFolder
from fedehr_simulations.arms.federated import FederatedRun
from fedehr_simulations.arms.outputs_of_tasks import outputs_of_all_tasks
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
        told: dict[str, list[SitePredictions]] = {site.name: [] for site in sites}
        for task in study.finetuning.tasks:
            alone, run_folder = study.with_tasks({task}), self.folder / "runs" / task
            holders, work = [site for site in sites if task in site.tasks], self.work / task
            finetune(alone, self.federated, holders, run_folder, work)
            for site in holders:
                own = predict_held_out(alone, run_folder, site, work, records=site)
                outputs = outputs_of_all_tasks(study, own.probabilities, {task})
                told[site.name].append(replace(own, probabilities=outputs))
        predictions = {site: side_by_side(own) for site, own in told.items() if own}
        return PieceResult(SINGLE_TASK, study.seed, predictions)


def side_by_side(by_task: Sequence[SitePredictions]) -> SitePredictions:
    """One table of predictions `[rows, outputs]`, each of which knows columns of its own.

    A row that a task lacks is NaN in its columns.
    """
    rows: dict[tuple[int, int], NDArray[np.float64]] = {}
    for told in by_task:
        keys = zip(told.subject_ids.tolist(), told.times.tolist(), strict=True)
        for key, values in zip(keys, told.probabilities, strict=True):
            earlier = rows.get(key, values)
            rows[key] = np.where(np.isnan(values), earlier, values)
    ordered = sorted(rows)
    num_outputs = by_task[0].probabilities.shape[1]
    return SitePredictions(
        np.asarray([subject for subject, _ in ordered], dtype=np.int64),
        np.asarray([time for _, time in ordered], dtype=np.int64),
        np.stack([rows[key] for key in ordered]) if rows else np.empty((0, num_outputs)),
    )
