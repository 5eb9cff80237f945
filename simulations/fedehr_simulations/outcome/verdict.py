"""Putting a verdict together, and leaving it with its report in the run's folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.config.study import StudyConfig
from fedehr_shared.meds.folder import FEDERATION_FILE, FederationFolder
from fedehr_simulations.outcome.held_out import HeldOut
from fedehr_simulations.outcome.privacy_statement import privacy_statement, spent_by_site
from fedehr_simulations.outcome.scoring import Rules, paired_difference, score_task, task_data
from fedehr_simulations.outcome.site_differences import site_differences
from fedehr_simulations.outcome.tables import write_table
from fedehr_simulations.outcome.views import held_out_views, probabilities_of_views
from fedehr_simulations.report.report import write_report
from fedehr_simulations.verdict.machine import describe_machine, describe_versions
from fedehr_simulations.verdict.membership import MembershipAttack
from fedehr_simulations.verdict.result import METRICS, ArmResult
from fedehr_simulations.verdict.verdict import (
    Comparison,
    SiteSummary,
    StudyName,
    Traffic,
    Verdict,
)

LEAD = "federated"
OF_EACH_SITE = ("local", "own_labels")
"""Arms with a model of each site's own: they are compared site by site too."""
VERDICT_FILE, REPORT_FILE, TABLE_FILE = "verdict.json", "report.html", "results.csv"


@dataclass(frozen=True)
class ArmOutcome:
    """What an arm gave.

    Attributes:
        probabilities: by seed `[rows, outputs]`, in line with the held-out examples.
        pretraining_losses: one sequence a model trained, each one value a round.
        missing: by site, why there is no model for it.
        progress: the parsed `progress.jsonl` of its first seed, for the report.
    """

    probabilities: tuple[NDArray[np.float64], ...]
    pretraining_losses: tuple[tuple[float | None, ...], ...] = ()
    missing: dict[str, str] = field(default_factory=dict)
    progress: list[dict[str, Any]] = field(default_factory=list)


def build_verdict(
    study: StudyConfig,
    federation: Path,
    held_out: HeldOut,
    arms: Mapping[str, ArmOutcome],
    *,
    sites: Sequence[SiteSummary],
    traffic: Traffic,
    seconds: float,
    attacks: Sequence[MembershipAttack] = (),
    privacy_record: Mapping[str, Any] | None = None,
) -> Verdict:
    """Score every arm and compare the federated one with each other.

    Args:
        study: the study, with its first seed.
        federation: the federation folder, for the oracle of synthetic records.
        held_out: the examples.
        arms: by name.
        sites: what each site brought.
        traffic: bytes of the federated arm's first seed.
        seconds: how long all took.
        attacks: what was tried on the federated arm's models.
        privacy_record: `training_privacy` of the federated arm's first seed.
    """
    rules = Rules(
        study.vocabulary.min_cell,
        study.evaluation.num_bootstraps,
        study.evaluation.num_calibration_bins,
    )
    arms = {name: _as_views(study, held_out, arm) for name, arm in arms.items()}
    held_out = held_out_views(study, held_out)
    oracles = _oracles(federation)
    privacy = privacy_statement(study, held_out.site_names, privacy_record)
    return Verdict(
        study=StudyName(name=study.name, digest=study.digest),
        machine=describe_machine(),
        versions=describe_versions(),
        seconds=round(seconds, 3),
        min_cell=rules.min_cell,
        sites=tuple(sites),
        arms={name: _arm_result(held_out, arm, rules, oracles) for name, arm in arms.items()},
        bytes=traffic,
        subject_epsilon=spent_by_site(privacy, held_out.site_names),
        privacy=privacy,
        comparisons=tuple(_comparisons(held_out, arms, rules)),
        attacks=tuple(attacks),
    )


def write_outcome(
    verdict: Verdict, arms: Mapping[str, ArmOutcome], folder: Path
) -> dict[str, Path]:
    """Write `verdict.json`, `results.csv` and `report.html`.

    Returns:
        The paths of the first and the last, as `verdict` and `report`.

    Raises:
        FedehrError: the verdict does not match its schema.
    """
    paths = {"verdict": folder / VERDICT_FILE, "report": folder / REPORT_FILE}
    verdict.write(paths["verdict"])
    write_table(verdict, folder / TABLE_FILE)
    progress = {name: arm.progress for name, arm in arms.items() if arm.progress}
    write_report(verdict, progress, paths["report"])
    return paths


def _as_views(study: StudyConfig, held_out: HeldOut, arm: ArmOutcome) -> ArmOutcome:
    seeds = (probabilities_of_views(study, held_out, seed) for seed in arm.probabilities)
    return replace(arm, probabilities=tuple(seeds))


def _arm_result(
    held_out: HeldOut, arm: ArmOutcome, rules: Rules, oracles: Mapping[str, float]
) -> ArmResult:
    tasks = {
        task: score_task(
            task_data(held_out, column, arm.probabilities),
            held_out.site_names,
            rules,
            missing=arm.missing,
            oracle=oracles.get(task),
        )
        for column, task in enumerate(held_out.tasks)
    }
    return ArmResult(tasks=tasks, pretraining_loss=_mean_losses(arm.pretraining_losses))


def _mean_losses(losses: Sequence[tuple[float | None, ...]]) -> tuple[float | None, ...]:
    """Round by round, the mean over the models of an arm; None where no site told."""
    rounds = ([loss for loss in found if loss is not None] for found in zip_longest(*losses))
    return tuple(float(np.mean(told)) if told else None for told in rounds)


def _comparisons(
    held_out: HeldOut, arms: Mapping[str, ArmOutcome], rules: Rules
) -> list[Comparison]:
    if LEAD not in arms:
        return []
    lead = arms[LEAD].probabilities
    found = []
    for column, task in enumerate(held_out.tasks):
        for name, arm in arms.items():
            if name == LEAD:
                continue
            # Both on the rows that both have predicted.
            both = task_data(held_out, column, lead + arm.probabilities)
            ours, theirs = both.seeds(0, len(lead)), both.seeds(len(lead), None)
            found += [
                Comparison(
                    task=task,
                    metric=metric,
                    arm=LEAD,
                    reference=name,
                    difference=paired_difference(ours, theirs, metric, rules),
                    num_seeds=len(lead),
                )
                for metric in METRICS
            ]
            if name in OF_EACH_SITE:
                found += site_differences((LEAD, name), ours, theirs, held_out.site_names, rules)
    return found


def _oracles(federation: Path) -> dict[str, float]:
    """AUROC of the true probabilities on the held-out split; synthetic records alone know it."""
    if not (federation / FEDERATION_FILE).is_file():
        return {}
    truth = FederationFolder(federation).describe().get("truth", {}).get("tasks", {})
    found = {task: about.get("oracle_auroc_held_out") for task, about in truth.items()}
    return {task: float(value) for task, value in found.items() if value is not None}
