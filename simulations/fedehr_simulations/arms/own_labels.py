"""The own-labels arm: the federated arm's pre-trained model, fine-tuned at one site alone.

Unlike the local arm it shares the pre-training. What is left of the difference to the federated
arm is what the other sites' labels are worth.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from fedehr_client.tasks.cohort import held_tasks
from fedehr_shared.errors import MissingTaskError, TooFewSubjectsError
from fedehr_shared.meds.folder import SiteFolder
from fedehr_simulations.arms.alone import for_one_site
from fedehr_simulations.arms.federated import FederatedRun
from fedehr_simulations.arms.outputs_of_tasks import outputs_of_all_tasks
from fedehr_simulations.arms.piece import PieceResult
from fedehr_simulations.arms.reused_model import finetune, reusing
from fedehr_simulations.outcome.finished_run import predict_held_out

OWN_LABELS = "own_labels"


@dataclass(frozen=True)
class OwnLabelsRun:
    """One site's fine-tuning; see `Piece`.

    Attributes:
        federated: the finished run of the same seed.
        site: whose labels.
        folder: where the run is kept.
        work: scratch.
    """

    federated: FederatedRun
    site: SiteFolder
    folder: Path
    work: Path

    @property
    def title(self) -> str:
        """The run in a few words."""
        return f"{OWN_LABELS}, {self.site.name}, seed {self.federated.study.seed}"

    def carry_out(self) -> PieceResult:
        """Fine-tune and predict; a site with too few labels says so instead.

        Raises:
            FedehrError: the study could not go on for another reason.
        """
        whole = reusing(self.federated)
        held = set(held_tasks(self.site, whole.finetuning.tasks))
        study, run_folder = for_one_site(whole.with_tasks(held)), self.folder / "runs" / OWN_LABELS
        try:
            finetune(study, self.federated, [self.site], run_folder, self.work)
        except (TooFewSubjectsError, MissingTaskError):
            reason = f"too few labels to fine-tune alone (min_cell {study.vocabulary.min_cell})"
            return PieceResult(OWN_LABELS, study.seed, {}, withheld={self.site.name: reason})
        told = predict_held_out(study, run_folder, self.site, self.work, records=self.site)
        outputs = outputs_of_all_tasks(whole, told.probabilities, held)
        predictions = {self.site.name: replace(told, probabilities=outputs)}
        return PieceResult(OWN_LABELS, study.seed, predictions)
