"""`EfficiencyRecord`: what was measured, and the file `OUT/efficiency.json`."""

from collections.abc import Mapping, Sequence
from typing import Literal

from fedehr_shared.errors import DataError
from fedehr_simulations.arms.boosting import BOOSTING
from fedehr_simulations.arms.logistic import LOGISTIC
from fedehr_simulations.efficiency.arm_result import ArmFigures, ArmResult
from fedehr_simulations.efficiency.candidates import PRETRAINED
from fedehr_simulations.efficiency.label_set import LabelSet
from fedehr_simulations.efficiency.own_labels import OwnGain, own_gains
from fedehr_simulations.efficiency.request import CURVE_ARMS, EfficiencyRequest
from fedehr_simulations.kept_part import KeptPart
from fedehr_simulations.tuning_trials.replicates import Draws, Replicates, interval_of
from fedehr_simulations.tuning_trials.scores import SplitScores
from fedehr_simulations.verdict.machine import Machine, describe_machine, describe_versions
from fedehr_simulations.verdict.result import Count, Finite, Interval, Part, Text
from fedehr_simulations.verdict.verdict import StudyName

Place = Literal["federation", "unseen"]
PLACES: tuple[Place, ...] = ("federation", "unseen")
CURVES: tuple[Literal["auroc", "auprc"], ...] = ("auroc", "auprc")
BAGS = (LOGISTIC, BOOSTING)
_PERCENT = 100.0


class Point(Part):
    """One arm with one number of labels: the mean over seeds, intervals over seeds and subjects."""

    place: Place
    task: Text
    num_labels: Count | None
    """Null: all."""
    arm: Text
    auroc: Interval
    auprc: Interval
    auroc_by_seed: tuple[Finite, ...]


class Gain(Part):
    """`pretrained` against another arm on the same subjects, labels and seeds: paired."""

    place: Place
    task: Text
    num_labels: Count | None
    reference: Text
    """An arm, or `best bag`: of logistic and boosting the one with the higher AUROC here."""
    auroc_points: Interval
    auroc_percent: Interval
    """The difference in percent of the reference's AUROC."""
    auprc_points: Interval


class SiteLabels(Part):
    """Labels for training by site, of the first seed's draw."""

    num_labels: Count | None
    per_site: dict[str, Count]


class EfficiencyRecord(KeptPart):
    """A measurement."""

    format: Literal[1] = 1
    study: StudyName
    vocabulary_digest: Text
    machine: Machine
    versions: dict[str, Text]
    min_cell: Count
    sites: tuple[Text, ...]
    held_out_site: str
    labels_at: Text
    seeds: tuple[Count, ...]
    labels: tuple[SiteLabels, ...]
    num_scored: dict[Place, Count]
    """Examples on which every arm is scored."""
    points: tuple[Point, ...]
    gains: tuple[Gain, ...]
    own_labels: tuple[OwnGain, ...] = ()
    runs: tuple[ArmFigures, ...]


def build_record(
    request: EfficiencyRequest,
    sets: Mapping[tuple[int, int | None], LabelSet],
    results: Sequence[ArmResult],
    vocabulary: str,
) -> EfficiencyRecord:
    """Put the runs together.

    Raises:
        DataError: two runs were scored on different examples.
    """
    points: list[Point] = []
    gains: list[Gain] = []
    first = next(iter(sets.values()))
    places: dict[Place, Count] = {}
    for place in PLACES:
        curves = [result for result in results if result.figures.arm in CURVE_ARMS]
        scored = [result.scores[place] for result in curves if place in result.scores]
        if not scored:
            continue
        _require_same(scored)
        places[place] = scored[0].subjects.size
        replicates = Replicates.of(
            scored[0], request.num_seeds, request.study.evaluation.num_bootstraps
        )
        for view, task in enumerate(scored[0].views):
            if not scored[0].is_told(view, request.study.vocabulary.min_cell):
                continue
            for num in request.label_numbers:
                cell = _Cell(place, task, num, view, replicates)
                by_arm = {
                    arm: [
                        result.scores[place]
                        for result in results
                        if (result.figures.arm, result.figures.num_labels) == (arm, num)
                    ]
                    for arm in request.arms
                    if arm in CURVE_ARMS
                }
                points += [cell.point(arm, by_seed) for arm, by_seed in by_arm.items()]
                gains += cell.gains(by_arm)
    return EfficiencyRecord(
        study=StudyName(name=request.study.name, digest=request.study.digest),
        vocabulary_digest=vocabulary,
        machine=describe_machine(),
        versions=describe_versions(),
        min_cell=request.study.vocabulary.min_cell,
        sites=tuple(site.name for site in first.members),
        held_out_site=request.held_out_site,
        labels_at=request.labels_at,
        seeds=tuple(request.seeds),
        labels=tuple(
            SiteLabels(num_labels=num, per_site=dict(sets[request.study.seed, num].num_train))
            for num in request.label_numbers
        ),
        num_scored=places,
        points=tuple(points),
        gains=tuple(gains),
        own_labels=tuple(
            own_gains(
                results,
                min_cell=request.study.vocabulary.min_cell,
                num=request.study.evaluation.num_bootstraps,
            )
        ),
        runs=tuple(result.figures for result in results),
    )


class _Cell:
    """One place, task and number of labels, all arms in the same replicates."""

    def __init__(
        self, place: Place, task: str, num: int | None, view: int, replicates: Replicates
    ) -> None:
        self._place, self._task, self._num = place, task, num
        self._view, self._replicates = view, replicates

    def point(self, arm: str, by_seed: Sequence[SplitScores]) -> Point:
        """An arm's own figures."""
        auroc, auprc = (self._draws(metric, by_seed) for metric in CURVES)
        return Point(
            place=self._place,
            task=self._task,
            num_labels=self._num,
            arm=arm,
            auroc=interval_of(auroc),
            auprc=interval_of(auprc),
            auroc_by_seed=tuple(float(scores.auroc(1)[self._task] or 0.0) for scores in by_seed),
        )

    def gains(self, by_arm: Mapping[str, Sequence[SplitScores]]) -> list[Gain]:
        """What pre-training gained over every other arm, and over the better of the bags."""
        if PRETRAINED not in by_arm:
            return []
        draws = {
            arm: tuple(self._draws(metric, by_seed) for metric in CURVES)
            for arm, by_seed in by_arm.items()
        }
        bags = {arm: told for arm, told in draws.items() if arm in BAGS}
        references = {arm: told for arm, told in draws.items() if arm != PRETRAINED}
        if bags:
            references[BEST_BAG] = max(bags.values(), key=lambda told: float(told[0][0]))
        return [self._gain(name, draws[PRETRAINED], told) for name, told in references.items()]

    def _gain(self, name: str, ours: Sequence[Draws], theirs: Sequence[Draws]) -> Gain:
        (auroc, auprc), (other_auroc, other_auprc) = ours, theirs
        return Gain(
            place=self._place,
            task=self._task,
            num_labels=self._num,
            reference=name,
            auroc_points=interval_of(_PERCENT * (auroc - other_auroc)),
            auroc_percent=interval_of(_PERCENT * (auroc / other_auroc - 1)),
            auprc_points=interval_of(_PERCENT * (auprc - other_auprc)),
        )

    def _draws(self, metric: Literal["auroc", "auprc"], by_seed: Sequence[SplitScores]) -> Draws:
        return self._replicates.metric(metric, self._view, by_seed)


BEST_BAG = "best bag"


def _require_same(scored: Sequence[SplitScores]) -> None:
    if len({scores.digest for scores in scored}) > 1:
        raise DataError(
            "two runs were scored on different examples: the records or the code changed between "
            "them. Name another --out."
        )
