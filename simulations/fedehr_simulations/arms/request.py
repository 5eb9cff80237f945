"""`ComparisonRequest`: what is compared, and where each arm's runs lie."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import DataError, UsageError
from fedehr_shared.meds.folder import SiteFolder
from fedehr_simulations.arms.boosting import BOOSTING, BoostingFit
from fedehr_simulations.arms.federated import FEDERATED, FederatedRun
from fedehr_simulations.arms.local import LOCAL, LocalRun
from fedehr_simulations.arms.logistic import LOGISTIC, LogisticFit
from fedehr_simulations.arms.own_labels import OWN_LABELS, OwnLabelsRun
from fedehr_simulations.arms.piece import Piece, PieceResult
from fedehr_simulations.arms.pooled import POOLED, PooledRun
from fedehr_simulations.arms.scratch import SCRATCH, without_pretraining
from fedehr_simulations.arms.single_task import SINGLE_TASK, SingleTaskRun
from fedehr_simulations.attacks.plan import AttackPlan
from fedehr_simulations.engine.request import check_request

ARMS = (FEDERATED, POOLED, LOCAL, SCRATCH, LOGISTIC, BOOSTING, SINGLE_TASK, OWN_LABELS)
FROM_FEDERATED = (SINGLE_TASK, OWN_LABELS)
"""Arms that begin from what the federated arm pre-trained."""
WORK_FOLDER = ".work"


@dataclass(frozen=True)
class ComparisonRequest:
    """A comparison.

    Attributes:
        study: the study, with its first seed.
        federation: the federation folder.
        arms: each of `ARMS` at most once.
        num_seeds: seeds rising from the study's own; logistic regression and boosting need one.
        out: a new folder.
        num_actors: sites of a simulation that work at the same time, None: one a core.
        attack: what the federated arm's models of the first seed are put through.
    """

    study: StudyConfig
    federation: Path
    arms: tuple[str, ...]
    num_seeds: int
    out: Path
    num_actors: int | None = None
    attack: AttackPlan = field(default_factory=AttackPlan)

    def check(self) -> list[SiteFolder]:
        """The sites, when everything that can be checked beforehand is right.

        Raises:
            UsageError: an arm is unknown or doubled, there is no seed, or the study does not
                allow the attack.
            DataError: `out` exists, or a site lacks what the study asks for.
        """
        unknown = [arm for arm in self.arms if arm not in ARMS]
        if unknown or not self.arms or len(set(self.arms)) < len(self.arms):
            raise UsageError(
                f"--arms {','.join(self.arms)}: name each of {', '.join(ARMS)} at most once"
                f"{f'; {unknown[0]!r} is not one of them' if unknown else ''}."
            )
        dependent = [arm for arm in self.arms if arm in FROM_FEDERATED]
        if dependent and FEDERATED not in self.arms:
            raise UsageError(
                f"--arms {','.join(self.arms)}: {dependent[0]} begins from the model that the arm "
                f"{FEDERATED} pre-trained. Name that too."
            )
        self.attack.check(self.study)
        if self.num_seeds < 1:
            raise UsageError(f"--seeds {self.num_seeds}: choose 1 or more.")
        if self.out.exists():
            raise DataError(f"{self.out} exists already. Name a new folder, or remove it first.")
        return check_request(self.study, self.federation)

    @property
    def seeds(self) -> list[StudyConfig]:
        """The study, once a seed."""
        return [self.study.with_seed(self.study.seed + more) for more in range(self.num_seeds)]

    def folder(self, arm: str, seed: int) -> Path:
        """Where an arm keeps one seed's run."""
        return self.out / arm / f"seed-{seed}"

    def work(self, *parts: str) -> Path:
        """A scratch folder of its own for each piece."""
        return self.out / WORK_FOLDER / "-".join(parts)

    def simulations(self) -> list[FederatedRun]:
        """The runs on the engine."""
        studies = [(FEDERATED, study) for study in self.seeds]
        studies += [(SCRATCH, without_pretraining(study)) for study in self.seeds]
        return [
            FederatedRun(
                arm=arm,
                study=study,
                federation=self.federation,
                folder=self.folder(arm, study.seed),
                work=self.work(arm, str(study.seed)),
            )
            for arm, study in studies
            if arm in self.arms
        ]

    def released(self, simulations: Sequence[FederatedRun]) -> list[FederatedRun]:
        """The run whose models a federation would release; none without the arm."""
        seed = self.study.seed
        return [run for run in simulations if run.arm == FEDERATED and run.study.seed == seed]

    def one_site_runs(self, sites: Sequence[SiteFolder]) -> list[Piece[PieceResult]]:
        """The runs of one site each, longest first."""
        pieces: list[Piece[PieceResult]] = []
        for study in self.seeds if POOLED in self.arms else []:
            folder, work = self.folder(POOLED, study.seed), self.work(POOLED, str(study.seed))
            pieces.append(PooledRun(study, self.federation, folder, work))
        for study in self.seeds if LOCAL in self.arms else []:
            for site in sites:
                folder = self.folder(LOCAL, study.seed) / site.name
                work = self.work(LOCAL, str(study.seed), site.name)
                pieces.append(LocalRun(study, site, folder, work))
        return pieces

    def from_federated(
        self, simulations: Sequence[FederatedRun], sites: Sequence[SiteFolder]
    ) -> list[Piece[PieceResult]]:
        """The runs that begin from a finished federated run of their seed."""
        pieces: list[Piece[PieceResult]] = []
        for run in (run for run in simulations if run.arm == FEDERATED):
            seed = run.study.seed
            if SINGLE_TASK in self.arms:
                work = self.work(SINGLE_TASK, str(seed))
                pieces.append(SingleTaskRun(run, self.folder(SINGLE_TASK, seed), work))
            for site in sites if OWN_LABELS in self.arms else []:
                folder = self.folder(OWN_LABELS, seed) / site.name
                work = self.work(OWN_LABELS, str(seed), site.name)
                pieces.append(OwnLabelsRun(run, site, folder, work))
        return pieces

    def bag_fits(self, vocabulary: str) -> list[Piece[PieceResult]]:
        """The models of a bag of tokens.

        Args:
            vocabulary: its text.
        """
        pieces: list[Piece[PieceResult]] = []
        if LOGISTIC in self.arms:
            folder, work = self.folder(LOGISTIC, self.study.seed), self.work(LOGISTIC)
            pieces.append(LogisticFit(self.study, self.federation, vocabulary, folder, work))
        if BOOSTING in self.arms:
            folder, work = self.folder(BOOSTING, self.study.seed), self.work(BOOSTING)
            pieces.append(BoostingFit(self.study, self.federation, vocabulary, folder, work))
        return pieces
