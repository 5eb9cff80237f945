"""Membership of a small model's training, guessed by both attacks."""

import json
from collections.abc import Sequence
from pathlib import Path

from fedehr_shared.meds.folder import SiteFolder
from fedehr_simulations.arms.federated import FEDERATED, FederatedRun
from fedehr_simulations.arms.workers import OnDone, Workers
from fedehr_simulations.attacks.membership import attack_membership
from fedehr_simulations.attacks.plan import AttackPlan
from fedehr_simulations.attacks.trials.record import MembershipResult
from fedehr_simulations.attacks.trials.studies import TASKS, finetuning_study
from fedehr_simulations.in_process import run_in_process


def try_membership(
    epsilon: float | None,
    sites: Sequence[SiteFolder],
    folder: Path,
    *,
    num_rounds: int,
    num_shadows: int,
    on_done: OnDone,
) -> MembershipResult:
    """Train a study in this process and attack what it leaves.

    Args:
        epsilon: the study's target; None: no noise.
        sites: the hospitals.
        folder: new.
        num_rounds: of the training.
        num_shadows: of the likelihood ratio.
        on_done: told of each piece that a worker has done.

    Raises:
        FedehrError: a study could not go on.
    """
    study = finetuning_study(epsilon, num_rounds)
    run = FederatedRun(FEDERATED, study, sites[0].path.parent, folder, folder / "asked")
    run_in_process(study, sites, run.run_folder, folder / "training", num_threads=1)
    with Workers(on_done) as workers:
        attacks = attack_membership(
            AttackPlan("lira", num_shadows), run, sites, workers, folder / "attack"
        )
    least, greatest = _pooled_auroc(run.run_folder)
    return MembershipResult(
        target_epsilon=epsilon, auroc_least=least, auroc_greatest=greatest, attacks=attacks
    )


def _pooled_auroc(run_folder: Path) -> tuple[float | None, float | None]:
    told = json.loads((run_folder / "evaluation.json").read_text(encoding="utf-8"))
    pooled = told.get(TASKS[0], {}).get("pooled_auroc") or {}
    return pooled.get("least"), pooled.get("greatest")
