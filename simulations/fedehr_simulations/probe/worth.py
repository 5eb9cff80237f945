"""Held-out figures of the chosen encoding, beside the same net untrained and a bag of tokens."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fedehr_shared.meds.schema import HELD_OUT, TRAIN
from fedehr_simulations.probe.bag_probe import BagFeatures, probe_bags
from fedehr_simulations.probe.encodings import Encodings
from fedehr_simulations.probe.label_draws import drawn_rows
from fedehr_simulations.probe.linear_probe import LabelledVectors
from fedehr_simulations.probe.neighbors import (
    MAX_HELD_OUT,
    MAX_TRAIN,
    Agreement,
    agreement_of,
    neighbor_shares,
    sampled,
)
from fedehr_simulations.probe.probing import (
    ProbedTask,
    ProbeRules,
    Question,
    probe_question,
    questions,
)
from fedehr_simulations.probe.record import Neighborhood, SitesTold, Worth
from fedehr_simulations.probe.replicated import Replicated, replicated_auroc, subject_weights
from fedehr_simulations.probe.separability import Separability
from fedehr_simulations.probe.steps import OnStep
from fedehr_simulations.probe.words import labels_in_words
from fedehr_simulations.verdict.result import Interval

Split = Mapping[str, Encodings]


def measure_worth(
    trained: Split,
    untrained: Split,
    bags: Mapping[str, BagFeatures],
    tasks: Sequence[str],
    rules: ProbeRules,
    *,
    on_step: OnStep,
) -> tuple[Worth, ...]:
    """Every task with every number of labels, all three on the same labels and subjects."""
    weights = _weights(trained, rules)
    found = []
    for question in questions(tasks, rules.label_numbers):
        on_step(f"probing {question.task}, {labels_in_words(question.num_labels)}")
        reason = _reason(trained, question.column, question.num_labels, rules)
        if reason is not None:
            found.append(_withheld_worth(question, reason))
            continue
        three = (
            probe_question(trained, question, rules.num_draws),
            probe_question(untrained, question, rules.num_draws),
            probe_bags(bags, question, rules.num_draws),
        )
        found.append(_worth(three, weights))
    return tuple(found)


def measure_neighborhoods(
    trained: Split, untrained: Split, tasks: Sequence[str], rules: ProbeRules, num_neighbors: int
) -> tuple[Neighborhood, ...]:
    """Neighbor agreement of every task."""
    weights = _weights(trained, rules)
    told = []
    for column, task in enumerate(tasks):
        reason = _reason(trained, column, None, rules)
        if reason is not None:
            told.append(_withheld_neighborhood(task, reason))
            continue
        ours, theirs = (
            _agreement(own, column, weights, num_neighbors) for own in (trained, untrained)
        )
        labels = trained[TRAIN].labels[:, column]
        told.append(
            Neighborhood(
                task=task,
                positive_share=float(np.nanmean(labels)),
                agreement=ours.agreement.interval(),
                beyond_chance=ours.beyond_chance.interval(),
                of_positives=ours.of_positives,
                of_negatives=ours.of_negatives,
                untrained_beyond_chance=theirs.beyond_chance.interval(),
            )
        )
    return tuple(told)


def sites_told(
    trained: Separability | None, untrained: Separability | None, rules: ProbeRules
) -> SitesTold:
    """The two in one."""
    if trained is None or untrained is None:
        none = Interval.withheld(
            f"fewer than two sites have {rules.min_cell} examples in train and held-out"
        )
        return SitesTold(sites=(), auroc=none, accuracy=none, chance=None, untrained_auroc=none)
    return SitesTold(
        sites=trained.sites,
        auroc=trained.auroc.interval(),
        accuracy=trained.accuracy.interval(),
        chance=trained.chance,
        untrained_auroc=untrained.auroc.interval(),
    )


def _worth(three: tuple[ProbedTask, ProbedTask, ProbedTask], weights: NDArray[np.int16]) -> Worth:
    trained, untrained, bag = (_auroc(probed, weights) for probed in three)
    return Worth(
        task=three[0].task,
        num_labels=three[0].num_labels,
        num_draws=len(three[0].scores),
        trained=trained.interval(),
        untrained=untrained.interval(),
        bag=bag.interval(),
        over_untrained=trained.minus(untrained).interval(),
        over_bag=trained.minus(bag).interval(),
    )


def _withheld_worth(question: Question, reason: str) -> Worth:
    none = Interval.withheld(reason)
    return Worth(
        task=question.task,
        num_labels=question.num_labels,
        num_draws=1,
        trained=none,
        untrained=none,
        bag=none,
        over_untrained=none,
        over_bag=none,
    )


def _auroc(probed: ProbedTask, weights: NDArray[np.int16]) -> Replicated:
    return replicated_auroc(probed.labels, probed.scores, weights[:, probed.subjects])


def _weights(trained: Split, rules: ProbeRules) -> NDArray[np.int16]:
    subjects = trained[HELD_OUT].subjects
    return subject_weights(int(subjects.max(initial=0)) + 1, rules.num_bootstraps, HELD_OUT)


def _reason(trained: Split, column: int, num_labels: int | None, rules: ProbeRules) -> str | None:
    """Why a figure may not be told; None where it may."""
    train, held_out = (
        own[~np.isnan(own)]
        for own in (trained[split].labels[:, column] for split in (TRAIN, HELD_OUT))
    )
    for name, labels in (("held-out", held_out), ("train", train)):
        if min(labels.sum(), (1 - labels).sum()) < rules.min_cell:
            return f"fewer than {rules.min_cell} positives or negatives in the {name} split"
    if num_labels is not None and train.size <= num_labels:
        return f"the train split has no more than {num_labels} labels: see all labels"
    return None


def _agreement(
    own: Split, column: int, weights: NDArray[np.int16], num_neighbors: int
) -> Agreement:
    train_rows, rows = (
        drawn_rows(own[split].labels[:, column], None) for split in (TRAIN, HELD_OUT)
    )
    train_rows = train_rows[sampled(train_rows.size, MAX_TRAIN, TRAIN)]
    rows = rows[sampled(rows.size, MAX_HELD_OUT, HELD_OUT)]
    labels = own[TRAIN].labels[train_rows, column]
    near = neighbor_shares(
        LabelledVectors(own[TRAIN].vectors[train_rows], labels),
        own[HELD_OUT].vectors[rows],
        num_neighbors,
    )
    subjects = own[HELD_OUT].subjects[rows]
    outcomes = own[HELD_OUT].labels[rows, column]
    return agreement_of(near, outcomes, float(labels.mean()), weights[:, subjects])


def _withheld_neighborhood(task: str, reason: str) -> Neighborhood:
    none = Interval.withheld(reason)
    return Neighborhood(
        task=task,
        positive_share=None,
        agreement=none,
        beyond_chance=none,
        of_positives=None,
        of_negatives=None,
        untrained_beyond_chance=none,
    )
