"""`attack_membership`: the released models against those who may have been in the training."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.config.study import StudyConfig
from fedehr_shared.meds.folder import SiteFolder
from fedehr_simulations.arms.federated import FederatedRun
from fedehr_simulations.arms.workers import Workers
from fedehr_simulations.attacks.candidates import (
    SubjectConfidences,
    read_candidates,
    read_members,
)
from fedehr_simulations.attacks.covered import bound_of
from fedehr_simulations.attacks.drawn_members import drawn_members
from fedehr_simulations.attacks.judging import AttackName, Guesses, judge_attack
from fedehr_simulations.attacks.likelihood_ratio import likelihood_ratios
from fedehr_simulations.attacks.loss_threshold import loss_scores
from fedehr_simulations.attacks.model_told import (
    AskReleased,
    AttackedModel,
    ModelTold,
    attacked_models,
)
from fedehr_simulations.attacks.plan import AttackPlan
from fedehr_simulations.attacks.shadow import ShadowRun
from fedehr_simulations.verdict.membership import MembershipAttack


@dataclass(frozen=True)
class Shadows:
    """What shadow models tell, and who was in which.

    Attributes:
        told: one a shadow.
        subjects: `[subjects]`, rising.
        members: `[shadows, subjects]`.
    """

    told: Sequence[ModelTold]
    subjects: NDArray[np.int64]
    members: NDArray[np.bool_]

    def scores(self, model: AttackedModel, target: SubjectConfidences) -> NDArray[np.float64]:
        """The likelihood ratios of a model's subjects. `[subjects]`."""
        places = np.searchsorted(self.subjects, target.subject_ids)
        asked = [shadow[model] for shadow in self.told]
        return likelihood_ratios(target, asked, self.members[:, places])


def attack_membership(
    plan: AttackPlan,
    run: FederatedRun,
    sites: Sequence[SiteFolder],
    workers: Workers,
    work: Path,
) -> tuple[MembershipAttack, ...]:
    """Attack the models of a finished run.

    Args:
        plan: which attacks.
        run: whose last weights are released.
        sites: who took part; their train split are the members.
        workers: carry out what takes its time.
        work: scratch.

    Raises:
        FedehrError: the run left no models, or a shadow could not be trained.
    """
    if plan.attack == "none" or not attacked_models(run.study):
        return ()
    released = _released(run, sites, workers, work)
    shadows = _shadows(plan, run, sites, workers, work) if plan.attack == "lira" else None
    found = []
    for model, told in released.items():
        found.append(_judged(run, sites, AttackName(run.arm, model, "loss"), told))
        if shadows is not None:
            name = AttackName(run.arm, model, "lira", plan.num_shadows)
            found.append(_judged(run, sites, name, told, shadows))
    return tuple(found)


def _released(
    run: FederatedRun, sites: Sequence[SiteFolder], workers: Workers, work: Path
) -> ModelTold:
    pieces = [
        AskReleased(run.study, run.run_folder, site, run.folder, work / f"asked-{site.name}")
        for site in sites
    ]
    by_site = workers.run(pieces)
    told: ModelTold = {}
    for model in attacked_models(run.study):
        parts = [own[model] for own in by_site if model in own]
        if parts:
            told[model] = SubjectConfidences.joined(parts)
    return told


def _shadows(
    plan: AttackPlan,
    run: FederatedRun,
    sites: Sequence[SiteFolder],
    workers: Workers,
    work: Path,
) -> Shadows:
    subjects = read_candidates(sites)
    members = drawn_members(subjects.tolist(), plan.num_shadows, run.study.seed)
    pieces = [
        ShadowRun(
            number=number,
            study=run.study,
            released=run.run_folder,
            sites=tuple(sites),
            members=frozenset(subjects[own].tolist()),
            folder=run.folder,
            work=work / f"shadow-{number + 1}",
        )
        for number, own in enumerate(members)
    ]
    return Shadows(workers.run(pieces), subjects, members)


def _judged(
    run: FederatedRun,
    sites: Sequence[SiteFolder],
    name: AttackName,
    told: SubjectConfidences,
    shadows: Shadows | None = None,
) -> MembershipAttack:
    study: StudyConfig = run.study
    scores = loss_scores(told) if shadows is None else shadows.scores(name.model, told)
    is_member = read_members(sites, told.sites, told.subject_ids)
    return judge_attack(
        name,
        Guesses(scores, is_member, told.subject_ids),
        bound_of(study, name.model),
        min_cell=study.vocabulary.min_cell,
        num_bootstraps=study.evaluation.num_bootstraps,
    )
