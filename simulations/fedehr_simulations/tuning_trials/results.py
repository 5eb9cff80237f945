"""From finished trials to a `TuningRecord`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import DataError
from fedehr_simulations.tuning_trials.exchanged import Exchanged
from fedehr_simulations.tuning_trials.record import (
    CandidateResult,
    Noise,
    Share,
    TaskScores,
    TuningRecord,
    VariantFailure,
    VariantResult,
)
from fedehr_simulations.tuning_trials.replicates import Draws, Replicates, interval_of
from fedehr_simulations.tuning_trials.scores import SplitScores
from fedehr_simulations.tuning_trials.trial import TrialOutcome
from fedehr_simulations.tuning_trials.trial_figures import TrialFigures
from fedehr_simulations.tuning_trials.variants import TuningVariant
from fedehr_simulations.verdict.machine import describe_machine, describe_versions
from fedehr_simulations.verdict.result import Interval, Metric
from fedehr_simulations.verdict.verdict import SiteSummary, StudyName


@dataclass(frozen=True)
class VariantTrials:
    """A variant's trials.

    Attributes:
        variant: the variant.
        tried: by candidate, by seed.
        chosen: the place of the candidate that the tuning split chose; None: all failed.
    """

    variant: TuningVariant
    tried: Mapping[int, Mapping[int, TrialOutcome]]
    chosen: int | None

    @property
    def finished(self) -> dict[int, tuple[TrialFigures, SplitScores]]:
        """By seed, what the chosen candidate came to."""
        if self.chosen is None:
            return {}
        return {
            seed: (outcome.figures, outcome.held_out)
            for seed, outcome in self.tried[self.chosen].items()
            if outcome.figures is not None and outcome.held_out is not None
        }

    @property
    def held_out(self) -> dict[int, SplitScores]:
        """By seed, the chosen candidate's scores."""
        return {seed: scores for seed, (_, scores) in self.finished.items()}

    @property
    def failures(self) -> list[VariantFailure]:
        """Of the chosen candidate's seeds; of all candidates where none could be chosen."""
        places = list(self.tried) if self.chosen is None else [self.chosen]
        return [
            VariantFailure(
                variant=self.variant.name,
                reason=outcome.reason or "the tuning split is too small to choose by it",
            )
            for place in places
            for outcome in self.tried[place].values()
            if outcome.figures is None or self.chosen is None
        ]


def build_record(
    study: StudyConfig, trials: Sequence[VariantTrials], sites: Sequence[SiteSummary]
) -> TuningRecord:
    """Put the trials together.

    Raises:
        DataError: trials were scored on different examples, as after a change of the records.
    """
    told = [variant for variant in trials if variant.finished]
    require_same_examples(told)
    judge = Judge(study, told[0].held_out) if told else None
    figures = [f for variant in told for f, _ in variant.finished.values()]
    return TuningRecord(
        study=StudyName(name=study.name, digest=study.digest),
        machine=describe_machine(),
        versions=describe_versions(),
        commits=tuple(sorted({one.commit for one in figures})),
        min_cell=study.vocabulary.min_cell,
        sites=tuple(sites),
        reference=(told or trials)[0].variant.name,
        variants=tuple(_result(variant, judge) for variant in told if judge is not None),
        failures=tuple(failure for variant in trials for failure in variant.failures),
    )


class Judge:
    """Scores variants, each against the reference with the seeds that both have."""

    def __init__(self, study: StudyConfig, reference: Mapping[int, SplitScores]) -> None:
        """`reference`: by seed, with at least one."""
        self._study = study
        self._reference = reference
        self._first = next(iter(self._reference.values()))
        self._min_cell = study.vocabulary.min_cell

    def scores(self, own: Mapping[int, SplitScores]) -> dict[str, TaskScores]:
        """By question."""
        drawn, by_seed = self._replicates(len(own)), list(own.values())

        def of(metric: Metric) -> Callable[[int], Draws]:
            return lambda view: drawn.metric(metric, view, by_seed)

        def difference(view: int) -> Draws:
            ours, theirs = self._pair(own, view)
            return ours - theirs

        return {
            name: TaskScores(
                auroc=self._told(view, of("auroc")),
                auprc=self._told(view, of("auprc")),
                difference=self._told(view, difference),
            )
            for view, name in enumerate(self._first.views)
        }

    def share(self, own: Mapping[int, SplitScores]) -> Share | None:
        """Of the mean over questions; None where one is withheld."""
        views = range(len(self._first.views))
        if not views or not all(self._first.is_told(view, self._min_cell) for view in views):
            return None
        pairs = [self._pair(own, view) for view in views]
        ours, theirs = (np.mean([pair[side] for pair in pairs], axis=0) for side in (0, 1))
        return Share(of_auroc=interval_of(ours / theirs), of_skill=_share_of_skill(ours, theirs))

    def _pair(self, own: Mapping[int, SplitScores], view: int) -> tuple[Draws, Draws]:
        seeds = [seed for seed in self._reference if seed in own]
        drawn = self._replicates(len(seeds))
        ours = drawn.metric("auroc", view, [own[seed] for seed in seeds])
        return ours, drawn.metric("auroc", view, [self._reference[seed] for seed in seeds])

    def _told(self, view: int, draw: Callable[[int], Draws]) -> Interval:
        if not self._first.is_told(view, self._min_cell):
            return Interval.withheld(f"fewer than {self._min_cell} positives or negatives")
        return interval_of(draw(view))

    def _replicates(self, num_seeds: int) -> Replicates:
        return Replicates.of(self._first, num_seeds, self._study.evaluation.num_bootstraps)


def _share_of_skill(ours: Draws, theirs: Draws) -> Interval:
    low = interval_of(theirs).low
    if low is None or low <= 0.5:
        return Interval.withheld("the first variant has no skill of which a share would mean much")
    return interval_of((ours - 0.5) / (theirs - 0.5))


def _result(trials: VariantTrials, judge: Judge) -> VariantResult:
    variant, finished = trials.variant, trials.finished
    figures = [figures for figures, _ in finished.values()]
    own = trials.held_out
    noise = variant.noise
    errors = [f.aggregation_error for f in figures if f.aggregation_error is not None]
    return VariantResult(
        name=variant.name,
        changes=variant.changes,
        noise=None
        if noise is None
        else Noise(multiplier=noise.multiplier, clip_norm=noise.clip_norm),
        candidates=tuple(candidate_result(trials, place) for place in trials.tried),
        chosen=variant.candidates[trials.chosen or 0].settings,
        seeds=tuple(finished),
        scores=judge.scores(own),
        share=judge.share(own),
        exchanged=_mean_exchanged([f.exchanged for f in figures]),
        aggregation_error=fmean(errors) if errors else None,
        cpu_seconds=round(fmean(f.cpu_seconds for f in figures), 3),
    )


def candidate_result(trials: VariantTrials, place: int) -> CandidateResult:
    """A point of the grid, chosen or not."""
    outcomes = list(trials.tried[place].values())
    return CandidateResult(
        settings=trials.variant.candidates[place].settings,
        tuning_scores=tuple(
            None if outcome.figures is None else outcome.figures.tuning_score
            for outcome in outcomes
        ),
        failures=tuple(outcome.reason for outcome in outcomes if outcome.reason),
    )


def _mean_exchanged(told: Sequence[Exchanged]) -> Exchanged:
    means = {
        name: round(fmean(getattr(one, name) for one in told))
        for name in type(told[0]).model_fields
    }
    return Exchanged(**means)


def require_same_examples(trials: Sequence[VariantTrials]) -> None:
    """All trials were scored on the same examples.

    Raises:
        DataError: they were not.
    """
    digests = {f.held_out_digest: f.title for v in trials for f, _ in v.finished.values()}
    if len(digests) > 1:
        raise DataError(
            f"these runs were scored on different examples: {', '.join(digests.values())}. The "
            "records changed between them; name another --out."
        )
