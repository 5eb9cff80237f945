"""`run_comparison`: all arms of a study, each seed, on one set of held-out examples.

RUN/<arm>/seed-<n>/runs/<arm>/       the run's own folder (local: below one more folder a site)
RUN/<arm>/seed-<n>/predictions.parquet
RUN/verdict.json  RUN/results.csv  RUN/report.html

RUN is for the researcher alone, whose machine holds all records: it is private (mode 0700),
and the predictions in it name subjects (mode 0600).
"""

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedehr_shared.config.study import StudyConfig
from fedehr_shared.meds.folder import FederationFolder, SiteFolder
from fedehr_simulations.arms.federated import FEDERATED, FederatedRun
from fedehr_simulations.arms.piece import PieceResult
from fedehr_simulations.arms.pooled import POOLED
from fedehr_simulations.arms.request import WORK_FOLDER, ComparisonRequest
from fedehr_simulations.arms.site_report import SiteReport
from fedehr_simulations.arms.vocabulary import agreed_vocabulary
from fedehr_simulations.arms.workers import OnDone, Workers
from fedehr_simulations.attacks.membership import attack_membership
from fedehr_simulations.attacks.plan import AttackPlan
from fedehr_simulations.engine import Progress
from fedehr_simulations.outcome.held_out import HeldOut, read_held_out
from fedehr_simulations.outcome.predictions import PREDICTIONS_FILE, align, write_predictions
from fedehr_simulations.outcome.verdict import ArmOutcome, build_verdict, write_outcome
from fedehr_simulations.report.report import read_progress
from fedehr_simulations.verdict.verdict import SiteSummary, Traffic, Verdict

Watch = Callable[[str], AbstractContextManager[Progress]]
"""Shows one simulation, by its title, while the context lasts."""


@dataclass(frozen=True)
class Comparison:
    """What a comparison left.

    Attributes:
        verdict: what was found.
        paths: `verdict` and `report`, the files that say it.
    """

    verdict: Verdict
    paths: dict[str, Path]


def run_comparison(request: ComparisonRequest, watch: Watch, on_done: OnDone) -> Comparison:
    """Train, predict, score and write.

    Args:
        request: what to compare.
        watch: shows a simulation.
        on_done: told of each further piece that is done.

    Raises:
        UsageError: an arm is unknown.
        DataError: the output exists, or a site lacks what the study asks for.
        FedehrError: an arm failed.
    """
    began = time.monotonic()
    sites = request.check()
    request.out.mkdir(mode=0o700, parents=True)
    held_out = read_held_out(sites, request.study.tasks_by_name, request.study.cohort)
    simulations = request.simulations()
    for number, run in enumerate(simulations, start=1):
        title = f"{run.arm}, seed {run.study.seed} ({number} of {len(simulations)})"
        with watch(title) as on_progress:
            run.simulate(on_progress, request.num_actors)
    runs = {run.arm: run.run_folder for run in reversed(simulations)}
    with _scratch(request.out), Workers(on_done) as workers:
        one_site = request.one_site_runs(sites)
        results = workers.run(
            [*simulations, *one_site, *request.from_federated(simulations, sites)]
        )
        if POOLED in request.arms:
            runs[POOLED] = request.folder(POOLED, request.study.seed) / "runs" / POOLED
        vocabulary = agreed_vocabulary(request.study, request.federation, runs)
        results += workers.run(request.bag_fits(vocabulary))
        summaries = _summarize(workers, request.study, sites, vocabulary, request.out)
        attacks = tuple(
            attack
            for run in request.released(simulations)
            for attack in attack_membership(
                request.attack, run, sites, workers, request.work("attack")
            )
        )
    arms = {
        arm: _collect(held_out, [r for r in results if r.arm == arm], request.out / arm, runs)
        for arm in request.arms
    }
    verdict = build_verdict(
        request.study,
        request.federation,
        held_out,
        arms,
        sites=summaries,
        traffic=_traffic(runs.get(FEDERATED)),
        attacks=attacks,
        privacy_record=_told(runs.get(FEDERATED), "training_privacy"),
        seconds=time.monotonic() - began,
    )
    return Comparison(verdict, write_outcome(verdict, arms, request.out))


def judge_run(
    run: FederatedRun, began: float, on_done: OnDone, attack: AttackPlan | None = None
) -> Comparison:
    """Score one finished federated run, as a comparison with a single arm, and attack its models.

    Args:
        run: the run; verdict, report and predictions are written into its folder.
        began: when, by `time.monotonic`.
        on_done: told of each piece that is done.
        attack: how; None: by the loss alone.

    Raises:
        FedehrError: the run did not complete.
    """
    sites = FederationFolder(run.federation).sites
    held_out = read_held_out(sites, run.study.tasks_by_name, run.study.cohort)
    vocabulary = agreed_vocabulary(run.study, run.federation, {FEDERATED: run.run_folder})
    with _scratch(run.folder), Workers(on_done) as workers:
        results = workers.run([run])
        summaries = _summarize(workers, run.study, sites, vocabulary, run.folder)
        scratch = run.folder / WORK_FOLDER / "attack"
        attacks = attack_membership(attack or AttackPlan(), run, sites, workers, scratch)
    outcome = ArmOutcome(
        probabilities=(align(held_out, results[0].predictions),),
        pretraining_losses=(results[0].pretraining_loss,),
        progress=read_progress(run.run_folder / "progress.jsonl"),
    )
    write_predictions(run.folder / PREDICTIONS_FILE, held_out, outcome.probabilities[0])
    verdict = build_verdict(
        run.study,
        run.federation,
        held_out,
        {run.arm: outcome},
        sites=summaries,
        traffic=_traffic(run.run_folder),
        attacks=attacks,
        privacy_record=_told(run.run_folder, "training_privacy"),
        seconds=time.monotonic() - began,
    )
    return Comparison(verdict, write_outcome(verdict, {run.arm: outcome}, run.folder))


@contextmanager
def _scratch(out: Path) -> Iterator[None]:
    """Token stores and pooled records last no longer than this, however it ends."""
    try:
        yield
    finally:
        shutil.rmtree(out / WORK_FOLDER, ignore_errors=True)


def _summarize(
    workers: Workers, study: StudyConfig, sites: Sequence[SiteFolder], vocabulary: str, out: Path
) -> list[SiteSummary]:
    return workers.run(
        [
            SiteReport(study, site, vocabulary, out, out / WORK_FOLDER / f"summary-{site.name}")
            for site in sites
        ]
    )


def _collect(
    held_out: HeldOut, results: Sequence[PieceResult], folder: Path, runs: Mapping[str, Path]
) -> ArmOutcome:
    """One arm's pieces, seed by seed, in line with the held-out examples."""
    probabilities = []
    for seed in sorted({result.seed for result in results}):
        told = {s: p for r in results if r.seed == seed for s, p in r.predictions.items()}
        aligned = align(held_out, told)
        write_predictions(folder / f"seed-{seed}" / PREDICTIONS_FILE, held_out, aligned)
        probabilities.append(aligned)
    run_folder = runs.get(folder.name)
    return ArmOutcome(
        probabilities=tuple(probabilities),
        pretraining_losses=tuple(r.pretraining_loss for r in results if r.pretraining_loss),
        missing={site: reason for r in results for site, reason in r.withheld.items()},
        progress=[] if run_folder is None else read_progress(run_folder / "progress.jsonl"),
    )


def _traffic(run_folder: Path | None) -> Traffic:
    return Traffic.model_validate(_told(run_folder, "bytes"))


def _told(run_folder: Path | None, key: str) -> dict[str, Any]:
    """A part of a run's record; empty where there was no run."""
    if run_folder is None:
        return {}
    result = json.loads((run_folder / "result.json").read_text(encoding="utf-8"))
    told: dict[str, Any] = result[key]
    return told
