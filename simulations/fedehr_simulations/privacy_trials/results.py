"""From finished trials to a `PrivacyRecord`."""

from collections.abc import Mapping, Sequence
from statistics import fmean

from fedehr_shared.config.study import StudyConfig
from fedehr_simulations.privacy_trials.record import ArmResult, PrivacyRecord, Steps
from fedehr_simulations.privacy_trials.ways import Arm
from fedehr_simulations.tuning_trials.results import (
    Judge,
    VariantTrials,
    candidate_result,
    require_same_examples,
)
from fedehr_simulations.tuning_trials.trial_figures import TrialFigures
from fedehr_simulations.verdict.machine import describe_machine, describe_versions
from fedehr_simulations.verdict.result import Interval
from fedehr_simulations.verdict.verdict import SiteSummary, StudyName

RELATION = "add or remove one subject of one site"
_Told = tuple[Arm, VariantTrials]


def build_privacy_record(
    study: StudyConfig, told: Sequence[_Told], sites: Sequence[SiteSummary]
) -> PrivacyRecord:
    """Put the arms together.

    Args:
        study: with its `[privacy]`.
        told: every arm and its trials; at least one without noise came to an end.
        sites: what each site brought.

    Raises:
        DataError: trials were scored on different examples, as after a change of the records.
    """
    finished = [(arm, trials) for arm, trials in told if trials.finished]
    require_same_examples([trials for _, trials in finished])
    plain = {arm.way: trials for arm, trials in finished if arm.target is None}
    best = max(plain, key=lambda way: _tuning_score(plain[way]) or 0.0)
    judges = {way: Judge(study, trials.held_out) for way, trials in plain.items()}
    figures = [f for _, trials in finished for f, _ in trials.finished.values()]
    return PrivacyRecord(
        study=StudyName(name=study.name, digest=study.digest),
        machine=describe_machine(),
        versions=describe_versions(),
        commits=tuple(sorted({one.commit for one in figures})),
        min_cell=study.vocabulary.min_cell,
        nominal_subjects=study.privacy.nominal_subjects,
        delta=study.privacy.target_delta,
        relation=RELATION,
        sites=tuple(sites),
        best=best,
        arms=tuple(_result(arm, trials, judges, best) for arm, trials in finished),
        failures=tuple(failure for _, trials in told for failure in trials.failures),
    )


def _result(arm: Arm, trials: VariantTrials, judges: Mapping[str, Judge], best: str) -> ArmResult:
    place = trials.chosen or 0
    figures = [f for f, _ in trials.finished.values()]
    return ArmResult(
        way=arm.way,
        scope=arm.scope,
        target_epsilon=arm.target,
        subject_epsilon=arm.subject_epsilon(place),
        history=tuple(
            Steps(
                noise_multiplier=steps.noise_multiplier,
                sample_rate=steps.sample_rate,
                num_steps=steps.num_steps,
            )
            for steps in arm.history(place)
        ),
        changes=trials.variant.changes,
        candidates=tuple(candidate_result(trials, place) for place in trials.tried),
        chosen=trials.variant.candidates[place].settings,
        tuning_score=_tuning_score(trials),
        seeds=tuple(trials.finished),
        scores=judges[best].scores(trials.held_out),
        kept_of_own=_kept(judges.get(arm.way), trials),
        kept_of_best=_kept(judges[best], trials),
        cpu_seconds=round(fmean(f.cpu_seconds for f in figures), 3),
    )


def _kept(judge: Judge | None, trials: VariantTrials) -> Interval:
    share = None if judge is None else judge.share(trials.held_out)
    if share is None:
        return Interval.withheld("what it would be compared with failed, or may not be told")
    return share.of_skill


def _tuning_score(trials: VariantTrials) -> float | None:
    """The mean over seeds of the chosen candidate's."""
    scores = [_score(figures) for figures, _ in trials.finished.values()]
    known = [score for score in scores if score is not None]
    return fmean(known) if known and len(known) == len(scores) else None


def _score(figures: TrialFigures) -> float | None:
    return figures.tuning_score
