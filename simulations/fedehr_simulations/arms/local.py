"""The local arm: a site trains alone and is tested on its own held-out subjects."""

from dataclasses import dataclass, replace
from pathlib import Path

from fedehr_client.tasks.cohort import held_tasks
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import MissingTaskError, TooFewSubjectsError
from fedehr_shared.meds.folder import SiteFolder
from fedehr_simulations.arms.alone import for_one_site, train_alone
from fedehr_simulations.arms.outputs_of_tasks import outputs_of_all_tasks
from fedehr_simulations.arms.piece import PieceResult
from fedehr_simulations.outcome.finished_run import predict_held_out

LOCAL = "local"


@dataclass(frozen=True)
class LocalRun:
    """One site's own model.

    Attributes:
        study: the study, with its seed.
        site: who trains.
        folder: where the run is kept.
        work: scratch.
    """

    study: StudyConfig
    site: SiteFolder
    folder: Path
    work: Path

    @property
    def title(self) -> str:
        """The run in a few words."""
        return f"{LOCAL}, {self.site.name}, seed {self.study.seed}"

    def carry_out(self) -> PieceResult:
        """Train and predict; a site that is too small to train says so instead.

        Raises:
            FedehrError: the study could not go on for another reason.
        """
        held = set(held_tasks(self.site, self.study.finetuning.tasks))
        study = for_one_site(self.study.with_tasks(held))
        try:
            run_folder, loss = train_alone(study, self.site, self.folder, LOCAL, self.work)
        except (TooFewSubjectsError, MissingTaskError):
            reason = f"too few subjects to train alone (min_cell {study.vocabulary.min_cell})"
            return PieceResult(LOCAL, study.seed, {}, withheld={self.site.name: reason})
        told = predict_held_out(study, run_folder, self.site, self.work, records=self.site)
        outputs = outputs_of_all_tasks(self.study, told.probabilities, held)
        whole = replace(told, probabilities=outputs)
        return PieceResult(LOCAL, study.seed, {self.site.name: whole}, loss)
