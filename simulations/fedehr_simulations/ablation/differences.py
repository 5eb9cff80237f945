"""AUROC of each variant minus the first one's, on the same held-out subjects."""

from collections.abc import Mapping, Sequence

from fedehr_shared.metrics.intervals import paired_interval
from fedehr_simulations.probe.probing import ProbedTask, ProbeRules
from fedehr_simulations.verdict.result import Count, Interval, Part, Text


class Difference(Part):
    """`variant` minus `reference`, both the mean over seeds and draws of labels."""

    variant: Text
    reference: Text
    task: Text
    num_labels: Count | None
    """Labels that each probe saw, null: all of the train split."""
    auroc: Interval
    """With a paired 95 % interval over subjects; first weights and draws are as they are."""


def differences(
    by_variant: Mapping[str, Sequence[Sequence[ProbedTask]]], rules: ProbeRules
) -> tuple[Difference, ...]:
    """Each variant against the first.

    Args:
        by_variant: of each variant with a finished run the probes, seed by seed; all runs have
            the same tasks and the same held-out examples.
        rules: what may be told.
    """
    if not by_variant:
        return ()
    reference, *others = by_variant
    return tuple(
        Difference(
            variant=other,
            reference=reference,
            task=first.task,
            num_labels=first.num_labels,
            auroc=_interval(
                [run[place] for run in by_variant[other]],
                [run[place] for run in by_variant[reference]],
                rules,
            ),
        )
        for other in others
        for place, first in enumerate(by_variant[reference][0])
    )


def _interval(
    ours: Sequence[ProbedTask], theirs: Sequence[ProbedTask], rules: ProbeRules
) -> Interval:
    first = theirs[0]
    if not first.is_told(rules.min_cell):
        return Interval.withheld(f"fewer than {rules.min_cell} positives or negatives")
    found = paired_interval(
        "auroc",
        first.labels,
        [scores for run in ours for scores in run.scores],
        [scores for run in theirs for scores in run.scores],
        first.weights(rules.num_bootstraps),
    )
    return Interval(value=found.value, low=found.low, high=found.high)
