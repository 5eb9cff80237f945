"""`ModelTold`: what the models that a run leaves tell of all candidates."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import MissingTaskError
from fedehr_shared.meds.folder import SiteFolder
from fedehr_simulations.attacks.candidates import SubjectConfidences
from fedehr_simulations.attacks.finetuned_model import finetuned_confidences
from fedehr_simulations.attacks.pretrained_model import pretrained_confidences

AttackedModel = Literal["finetuned", "pretrained"]
ModelTold = dict[AttackedModel, SubjectConfidences]
"""By model; one that the study does not leave is missing."""


def attacked_models(study: StudyConfig) -> tuple[AttackedModel, ...]:
    """The models that a study leaves and that can be asked."""
    models: list[AttackedModel] = []
    if study.finetuning.rounds:
        models.append("finetuned")
    if study.pretraining.rounds and study.objective.kind == "masked_events":
        models.append("pretrained")
    return tuple(models)


def ask_models(
    study: StudyConfig, run_folder: Path, sites: Sequence[SiteFolder], work: Path
) -> ModelTold:
    """Ask a run's models about the subjects of some sites.

    Args:
        study: the study that ran.
        run_folder: what it left.
        sites: with the splits of the released model, whatever the run learnt from.
        work: scratch for token stores.

    Raises:
        CheckpointError: the run left no such model.
    """
    told: ModelTold = {}
    for model in attacked_models(study):
        parts = [part for site in sites for part in _of_site(model, study, run_folder, site, work)]
        if parts:
            told[model] = SubjectConfidences.joined(parts)
    return told


def _of_site(
    model: AttackedModel, study: StudyConfig, run_folder: Path, site: SiteFolder, work: Path
) -> list[SubjectConfidences]:
    if model == "pretrained":
        return [pretrained_confidences(study, run_folder, site, work)]
    try:
        return [finetuned_confidences(study, run_folder, site, work)]
    except MissingTaskError:
        # A site without labels took no part in fine-tuning.
        return []


@dataclass(frozen=True)
class AskReleased:
    """The released run's models, asked about one site's subjects: a piece of a comparison.

    Attributes:
        study: the study that ran.
        run_folder: what it left.
        site: whose subjects.
        folder: where its log goes.
        work: scratch.
    """

    study: StudyConfig
    run_folder: Path
    site: SiteFolder
    folder: Path
    work: Path

    @property
    def title(self) -> str:
        """The piece in a few words."""
        return f"attack: the released model asked about {self.site.name}"

    def carry_out(self) -> ModelTold:
        """Ask.

        Raises:
            CheckpointError: the run left no such model.
        """
        return ask_models(self.study, self.run_folder, [self.site], self.work)
