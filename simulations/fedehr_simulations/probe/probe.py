"""`probe_runs`: was pre-training worth it, and which of several encodings is the best?

First every encoding is scored on the tuning split, and one is chosen. Only then are the
held-out subjects' labels looked at, for that one alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fedehr_shared.errors import UsageError
from fedehr_shared.meds.folder import FederationFolder
from fedehr_shared.meds.schema import SPLITS
from fedehr_simulations.ablation.masked_loss import NamingModel, mask_held_out
from fedehr_simulations.probe.bag_probe import bag_features
from fedehr_simulations.probe.binary_outcomes import BinaryOutcomes
from fedehr_simulations.probe.checkpoints import PRETRAINING, Checkpoint
from fedehr_simulations.probe.choice import Choice, TuningScore, choose, tuning_score
from fedehr_simulations.probe.encodings import Encodings, join_sites
from fedehr_simulations.probe.probing import ProbeRules
from fedehr_simulations.probe.record import CandidateResult, ProbeRecord
from fedehr_simulations.probe.request import ProbeRequest
from fedehr_simulations.probe.separability import site_separability
from fedehr_simulations.probe.site_inputs import SiteInputs, SplitsBySite, telling_sites
from fedehr_simulations.probe.steps import OnStep
from fedehr_simulations.probe.words import describe_worth
from fedehr_simulations.probe.worth import measure_neighborhoods, measure_worth, sites_told
from fedehr_simulations.verdict.result import Interval

NUM_DRAWS = 5
"""Draws of few labels: two of them can differ by more than two encoders."""


@dataclass(frozen=True)
class Candidate:
    """One encoding.

    Attributes:
        checkpoint: whose.
        pooling: how.
        score: on the tuning split.
        masked_loss: nats a hidden event, where the checkpoint can name events.
    """

    checkpoint: Checkpoint
    pooling: str
    score: TuningScore
    masked_loss: float | None


@dataclass
class Found:
    """Candidates so far, with the encodings of the best of them.

    Attributes:
        min_cell: of the choice.
        candidates: in the order of the request.
        best: by site and split, labelled by question.
    """

    min_cell: int
    candidates: list[Candidate] = field(default_factory=list)
    best: SplitsBySite = field(default_factory=dict)

    @property
    def choice(self) -> Choice:
        """The best."""
        return choose([candidate.score for candidate in self.candidates], self.min_cell)

    def add(self, candidate: Candidate, encodings: SplitsBySite) -> None:
        """One more.

        Raises:
            UsageError: its examples are not those of the others.
        """
        if self.best:
            _check_same_examples(self.candidates[0], candidate, self.best, encodings)
        self.candidates.append(candidate)
        if self.choice.place == len(self.candidates) - 1:
            self.best = encodings


@dataclass(frozen=True)
class ProbeOutcome:
    """What was found, with what a map is drawn of.

    Attributes:
        record: what may be told.
        chosen: the chosen encoding's examples by site and split, labelled by question.
    """

    record: ProbeRecord
    chosen: SplitsBySite


def probe_runs(request: ProbeRequest, work: Path, on_step: OnStep) -> ProbeOutcome:
    """Probe runs' encodings.

    Args:
        request: which.
        work: scratch that holds records while this runs.
        on_step: told of each longer piece of work.

    Raises:
        UsageError: the runs cannot be compared, or ask nothing that a probe can answer.
        CheckpointError, WireError: a run's weights are missing or damaged.
        DataError: labels or records are missing or damaged.
    """
    checkpoints = request.checkpoints()
    study = checkpoints[0].study
    outcomes = BinaryOutcomes.of(study)
    if not outcomes.names:
        raise UsageError(
            f"none of the tasks {', '.join(outcomes.left_out)} has an answer of yes or no: a probe "
            "says nothing of others."
        )
    folders = FederationFolder(request.federation).sites
    sites = telling_sites(folders, study.finetuning.tasks)
    if left := [site.name for site in folders if site not in sites]:
        on_step(f"left out, as they have labels for none of the tasks: {', '.join(left)}")
    rules = ProbeRules(
        max(one.study.vocabulary.min_cell for one in checkpoints),
        study.evaluation.num_bootstraps,
        request.label_numbers,
        NUM_DRAWS,
    )
    inputs = SiteInputs(sites, work, on_step)
    found = Found(rules.min_cell)
    for checkpoint in checkpoints:
        _add_checkpoint(found, checkpoint, request, inputs, outcomes, rules, on_step)
    record = _measure_chosen(found, inputs, outcomes, rules, request, on_step)
    return ProbeOutcome(record, found.best)


def _add_checkpoint(  # noqa: PLR0917 - one loop's body
    found: Found,
    checkpoint: Checkpoint,
    request: ProbeRequest,
    inputs: SiteInputs,
    outcomes: BinaryOutcomes,
    rules: ProbeRules,
    on_step: OnStep,
) -> None:
    title, poolings = f"{checkpoint.run} {checkpoint.name}", request.poolings_of(checkpoint)
    own = checkpoint.study.model.pooling
    if not request.poolings and own not in poolings:
        on_step(f"{checkpoint.run} pools by {own}, which is trained first: probed by {poolings[0]}")
    by_pooling = inputs.encode(checkpoint, checkpoint.weights(), poolings, title)
    loss = _masked_loss(checkpoint, inputs)
    for how in poolings:
        on_step(f"probing {title} pooled by {how} on the tuning split")
        encodings = {name: outcomes.asked(own) for name, own in by_pooling[how].items()}
        score = tuning_score(join_sites(list(encodings.values())), outcomes.names, rules)
        found.add(Candidate(checkpoint, how, score, loss), encodings)


def _measure_chosen(  # noqa: PLR0917 - what the parts of the record need
    found: Found,
    inputs: SiteInputs,
    outcomes: BinaryOutcomes,
    rules: ProbeRules,
    request: ProbeRequest,
    on_step: OnStep,
) -> ProbeRecord:
    choice = found.choice
    chosen = found.candidates[choice.place]
    checkpoint, how = chosen.checkpoint, chosen.pooling
    weights = checkpoint.untrained()
    told = inputs.encode(checkpoint, weights, (how,), "first weights, untrained")[how]
    untrained_by_site = {name: outcomes.asked(own) for name, own in told.items()}
    trained, untrained = (join_sites(list(own.values())) for own in (found.best, untrained_by_site))
    on_step("counting codes for the bag of codes")
    labels = {split: trained[split].labels for split in SPLITS}
    bags = bag_features(inputs.bags(checkpoint), labels)
    worth = measure_worth(trained, untrained, bags, outcomes.names, rules, on_step=on_step)
    on_step("looking for nearest neighbors")
    near = measure_neighborhoods(trained, untrained, outcomes.names, rules, request.num_neighbors)
    on_step("telling the sites apart")
    apart = [
        site_separability(own, rules.min_cell, rules.num_bootstraps)
        for own in (found.best, untrained_by_site)
    ]
    is_pretrained = checkpoint.phase == PRETRAINING
    return ProbeRecord(
        sites=tuple(found.best),
        tasks=outcomes.names,
        left_out=outcomes.left_out,
        min_cell=rules.min_cell,
        num_neighbors=request.num_neighbors,
        candidates=tuple(
            _candidate_result(candidate, place in choice.tied, rules.min_cell)
            for place, candidate in enumerate(found.candidates)
        ),
        chosen=choice.place,
        reason=choice.reason,
        worth=worth,
        neighborhoods=near,
        sites_told=sites_told(apart[0], apart[1], rules),
        in_words=describe_worth(worth, "pre-training" if is_pretrained else "training"),
    )


def _candidate_result(candidate: Candidate, is_tied: bool, min_cell: int) -> CandidateResult:
    none = Interval.withheld(f"fewer than {min_cell} positives or negatives in the tuning split")
    score = candidate.score
    return CandidateResult(
        run=candidate.checkpoint.run,
        checkpoint=candidate.checkpoint.name,
        pooling=candidate.pooling,
        tuning={
            task: none if own is None else own.interval() for task, own in score.by_task.items()
        },
        tuning_mean=none if score.mean is None else score.mean.interval(),
        is_tied=is_tied,
        masked_loss=candidate.masked_loss,
    )


def _masked_loss(checkpoint: Checkpoint, inputs: SiteInputs) -> float | None:
    """At the masking that is the same for all; None where the weights cannot name events."""
    study = checkpoint.study
    if checkpoint.phase != PRETRAINING or study.objective.kind != "masked_events":
        return None
    naming = NamingModel(study.model, study.objective, checkpoint.weights())
    losses = []
    for site, data in inputs.sites_with_data(checkpoint):
        masked = mask_held_out(study, site, data, checkpoint.vocabulary).masked
        if masked is not None:
            losses.append(naming.loss(masked))
    return float(np.mean(losses)) if losses else None


def _check_same_examples(
    first: Candidate,
    other: Candidate,
    ours: Mapping[str, Mapping[str, Encodings]],
    theirs: Mapping[str, Mapping[str, Encodings]],
) -> None:
    for name, own in ours.items():
        for split in SPLITS:
            if not np.array_equal(own[split].subject_ids, theirs[name][split].subject_ids):
                raise UsageError(
                    f"{first.checkpoint.run} and {other.checkpoint.run} have different examples "
                    f"at site {name}: they cannot be compared. Probe each by itself."
                )
