"""`ShadowRun`: the study over again, on half of the subjects, for the attacker to compare with."""

from dataclasses import dataclass, field
from pathlib import Path

from fedehr_server.vocabulary_shelf import VocabularyShelf
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.meds.reader import read_splits
from fedehr_shared.meds.schema import HELD_OUT, TRAIN
from fedehr_simulations.attacks.candidates import CANDIDATE_SPLITS
from fedehr_simulations.attacks.model_told import ModelTold, ask_models
from fedehr_simulations.efficiency.linked_sites import link_with_splits
from fedehr_simulations.in_process import run_in_process
from fedehr_simulations.outcome.finished_run import read_vocabulary


@dataclass(frozen=True)
class ShadowRun:
    """One shadow: a federated study in this process, with the released model's vocabulary.

    Attributes:
        number: from 0.
        study: the study that made the released model.
        released: its run folder.
        sites: whose records it learns from.
        members: the subjects in its train split; of the others of the released model's train
            and held-out split it learns nothing.
        folder: where its log goes.
        work: scratch, gone with the comparison.
    """

    number: int
    study: StudyConfig
    released: Path
    sites: tuple[SiteFolder, ...]
    members: frozenset[int] = field(repr=False)
    folder: Path
    work: Path

    @property
    def title(self) -> str:
        """The piece in a few words."""
        return f"attack: shadow model {self.number + 1}"

    def carry_out(self) -> ModelTold:
        """Train it and ask it about all subjects.

        Raises:
            FedehrError: the study could not go on.
        """
        vocabulary = read_vocabulary(self.released)
        shelf = VocabularyShelf(self.work / "vocabularies")
        shelf.keep(vocabulary)
        study = self._study(vocabulary.digest)
        sites = [
            link_with_splits(self.work / "records", site, self._splits(site)) for site in self.sites
        ]
        run_folder = self.work / "run"
        run_in_process(study, sites, run_folder, self.work / "training", num_threads=1, shelf=shelf)
        return ask_models(study, run_folder, self.sites, self.work / "asked")

    def _study(self, vocabulary: str) -> StudyConfig:
        """With first weights and batches of its own, and all that is not of the attack left out."""
        reused = self.study.vocabulary.model_copy(update={"reuse": vocabulary})
        study = self.study.with_seed(self.study.seed + 1 + self.number)
        return study.model_copy(update={"vocabulary": reused})

    def _splits(self, site: SiteFolder) -> dict[int, str]:
        def drawn(subject: int, split: str) -> str:
            if split not in CANDIDATE_SPLITS:
                return split
            return TRAIN if subject in self.members else HELD_OUT

        return {subject: drawn(subject, split) for subject, split in read_splits(site).items()}
