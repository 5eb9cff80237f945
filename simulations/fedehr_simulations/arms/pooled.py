"""The pooled arm: all records in one place, as no hospital may; the upper reference.

The one site takes as many steps and sees each subject as often as every site of the
federation does: `steps_per_round` and `steps_per_epoch` are the study's own.
"""

from dataclasses import dataclass
from pathlib import Path

from fedehr_shared.config.study import StudyConfig
from fedehr_shared.meds.folder import FederationFolder
from fedehr_simulations.arms.alone import for_one_site, train_alone
from fedehr_simulations.arms.piece import PieceResult
from fedehr_simulations.arms.pooled_site import write_pooled_site
from fedehr_simulations.outcome.finished_run import predict_held_out

POOLED = "pooled"


@dataclass(frozen=True)
class PooledRun:
    """One model of all records.

    Attributes:
        study: the study, with its seed.
        federation: the federation folder.
        folder: where the run is kept.
        work: scratch; holds the pooled records while the piece lasts.
    """

    study: StudyConfig
    federation: Path
    folder: Path
    work: Path

    @property
    def title(self) -> str:
        """The run in a few words."""
        return f"{POOLED}, seed {self.study.seed}"

    def carry_out(self) -> PieceResult:
        """Train on the pooled records and predict for every site.

        Raises:
            FedehrError: the records cannot be pooled, or the study could not go on.
        """
        study = for_one_site(self.study)
        sites = FederationFolder(self.federation).sites
        site = write_pooled_site(
            self.work / "records" / POOLED, sites, study.tasks_by_name, study.cohort
        )
        run_folder, loss = train_alone(study, site, self.folder, POOLED, self.work)
        predictions = {
            original.name: predict_held_out(study, run_folder, original, self.work, records=site)
            for original in sites
        }
        return PieceResult(POOLED, study.seed, predictions, loss)
