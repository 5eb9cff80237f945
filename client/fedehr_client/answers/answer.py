"""`answer`: one request in, one report out. Everything a site does begins here."""

from collections.abc import Callable
from dataclasses import asdict, replace

import numpy as np
import torch
from numpy.typing import NDArray

from fedehr_client.answers.base_store import BaseStore
from fedehr_client.answers.evaluation import TuningSplit, evaluation_report, tuning_auroc
from fedehr_client.answers.kept_answer import KeptAnswer
from fedehr_client.answers.one_example import one_example_each
from fedehr_client.answers.site_data import SiteData, records_fingerprint
from fedehr_client.answers.study_gate import StudyGate
from fedehr_client.answers.task_numbers import label_numbers, tuning_losses
from fedehr_client.answers.told_report import told_report
from fedehr_client.answers.warm_study import WarmStudy
from fedehr_client.compute.compute import choose_compute
from fedehr_client.locator import SiteLocation
from fedehr_client.room import require_room
from fedehr_client.training.entropy import code_entropy
from fedehr_client.training.error_feedback import ErrorFeedback, forget_error_feedback
from fedehr_client.training.examples import Examples
from fedehr_client.training.finetuning import finetune_round
from fedehr_client.training.local_parts import LocalParts
from fedehr_client.training.local_state import LocalState, forget_study
from fedehr_client.training.loop import RoundContext, RoundResult
from fedehr_client.training.prediction import predict
from fedehr_client.training.pretraining import pretrain_round
from fedehr_client.vocabulary.answer import VocabularyAnswer
from fedehr_shared.cells import told_count
from fedehr_shared.errors import WireError
from fedehr_shared.meds.schema import HELD_OUT, TUNING
from fedehr_shared.model.tuning.plan import TuningPlan
from fedehr_shared.tokens.back_off import BackOffShares
from fedehr_shared.wire.moments import moment_shapes
from fedehr_shared.wire.payload import Arrays, Payload
from fedehr_shared.wire.reports import TrainReport
from fedehr_shared.wire.work import Work

_NUM_COPIES = 5
"""Of the weights: two moments, remainders, answer and own parts."""


def answer(work: Work, location: SiteLocation, warm: WarmStudy | None = None) -> Payload:
    """Do what the coordinator asks, within what the site allows.

    Args:
        work: what it asks.
        location: the site.
        warm: what this process keeps of the study between rounds, for the same bits sooner;
            None: it keeps nothing. Whatever fails leaves it cold.

    Raises:
        PolicyError: the site file excludes the study.
        BudgetError: it would pass the site's budget of privacy.
        FedehrError: whatever else goes wrong; the transport sends its code alone.
    """
    warm = WarmStudy() if warm is None else warm
    try:
        return _answer(work, location, warm)
    except BaseException:
        warm.clear()
        raise


def _answer(work: Work, location: SiteLocation, warm: WarmStudy) -> Payload:
    gate = StudyGate(work.study, location)
    gate.require_allowed()
    if location.compute.num_threads:
        torch.set_num_threads(location.compute.num_threads)
    if work.id.phase == "vocabulary":
        warm.clear()
        return _vocabulary(work, location, gate)
    kept = KeptAnswer(location.work, work, site=_site_state(location))
    kept.forget_others()
    _require_agreed(work)
    if not work.study.privacy.is_private(work.id.phase):
        return _payload(work, location, gate, warm)
    with kept.alone():
        payload = kept.find()
        if payload is None:
            payload = _payload(work, location, gate, warm)
            kept.keep(payload)
    return payload


def _vocabulary(work: Work, location: SiteLocation, gate: StudyGate) -> Payload:
    """A study begins here. What a run of it that was broken off left is of other weights; an
    answer that was kept names its own, and what it needs beside it."""
    asked = VocabularyAnswer(work.study, location, charge=gate.charge_vocabulary)
    gate.begin(is_vocabulary_drawn=asked.is_drawn)
    forget_study(location.work, work.study.digest)
    forget_error_feedback(location.work, work.study.digest)
    LocalParts(location.work, work.study, work.vocabulary_digest).forget_rounds()
    return asked.payload()


def _payload(work: Work, location: SiteLocation, gate: StudyGate, warm: WarmStudy) -> Payload:
    # Before anything is charged: what cannot be kept would be charged at each asking anew.
    require_room(location.work, _bytes_beside(work))
    local_parts = LocalParts(location.work, work.study, work.vocabulary_digest)
    data = warm.data(location, work)
    context = _context(work, location, data, local_parts, warm)
    report = _REPORTS[work.id.phase](context, data, gate)
    if isinstance(report, TrainReport):
        told = told_report(report, work.study, work.id.phase, data.min_cell)
        report = ErrorFeedback(location.work, work).payload(told)
    if work.id.phase == "evaluation" or data.is_outdated:
        forget_study(location.work, work.study.digest)
        forget_error_feedback(location.work, work.study.digest)
    if data.is_outdated:
        # Who was erased meanwhile must not be in an answer, nor in what is kept.
        warm.clear()
        local_parts.forget_rounds()
        raise WireError(
            "the site's records changed while it worked. Nothing was sent; it will be asked again."
        )
    if work.id.phase == "evaluation":
        local_parts.keep_final()
        gate.end()
    return report


def _bytes_beside(work: Work) -> int:
    """What a round writes at the most: moments, what rounding lost, the kept answer, own parts."""
    return _NUM_COPIES * sum(array.nbytes for array in (work.model or {}).values())


def _site_state(location: SiteLocation) -> str:
    """Names the records and the floor that an answer rests on."""
    try:
        records = records_fingerprint(location.records)
    except OSError:
        # Then nothing is kept either: whoever reads the records says what is wrong.
        records = ""
    return f"{records} {location.min_cell}"


def _context(
    work: Work,
    location: SiteLocation,
    data: SiteData,
    local_parts: LocalParts,
    warm: WarmStudy,
) -> RoundContext:
    received = _required(work.model) | BaseStore(location.work).of(work)
    return RoundContext(
        study=work.study,
        site=location.name,
        round_number=work.id.round,
        num_tokens=data.num_tokens,
        weights=local_parts.before(work.id, received),
        moments=work.moments,
        compute=choose_compute(location.compute, work.study),
        min_cell=data.min_cell,
        balance=work.balance,
        local_state=LocalState(
            location.work, work.study.digest, work.id.phase, work.vocabulary_digest
        ),
        local_parts=local_parts,
        work=location.work,
        models=warm.models,
    )


def _pretrain(context: RoundContext, data: SiteData, gate: StudyGate) -> TrainReport:
    subjects = data.pretraining()
    gate.charge_round("pretraining", context.round_number)
    result = pretrain_round(context, subjects)
    metrics = _shares(data.store.back_off)
    # The other losses are of something else than of naming events.
    if context.study.objective.num_views == 1:
        # In two decimals: as for the shares, two vocabularies must not count a code's events.
        metrics["code_entropy"] = round(code_entropy(subjects), 2)
    return _train_report(context, subjects.rows.size, data.min_cell, result, metrics)


def _finetune(context: RoundContext, data: SiteData, gate: StudyGate) -> TrainReport:
    """Score the weights received on the tuning split, then train on the train split."""
    examples, tuning = data.training_examples(), _scored(context, data, TUNING)
    study = context.study
    rows = data.store.rows_of(examples.subject_ids)
    # A subject without events says nothing of the codes, and was not declared with the others.
    num_subjects = np.unique(rows[rows >= 0]).size
    scores = _scores(context, data, tuning)
    metrics = tuning_auroc(study, tuning, scores, data.min_cell)
    metrics |= tuning_losses(study, tuning, scores, context.balance, data.min_cell)
    metrics |= label_numbers(study, examples, rows >= 0, data.min_cell)
    gate.charge_round("finetuning", context.round_number)
    trained = finetune_round(context, data.store, examples)
    if context.local_parts is not None:
        context.local_parts.keep(context.round_number, context.weights, trained.update)
    result = _answered(trained, context)
    metrics |= _shares(data.store.back_off)
    return _train_report(context, num_subjects, data.min_cell, result, metrics)


def _evaluate(context: RoundContext, data: SiteData, gate: StudyGate) -> Payload:
    held_out, study = _scored(context, data, HELD_OUT), context.study
    tuning = None
    if study.evaluation.calibration != "none":
        examples = _scored(context, data, TUNING)
        tuning = TuningSplit(examples.labels, _scores(context, data, examples))
    report = evaluation_report(
        context.site,
        study,
        held_out,
        _scores(context, data, held_out),
        data.min_cell,
        store=data.store,
        tuning=tuning,
    )
    return report.to_payload()


_REPORTS: dict[str, Callable[[RoundContext, SiteData, StudyGate], TrainReport | Payload]] = {
    "pretraining": _pretrain,
    "finetuning": _finetune,
    "evaluation": _evaluate,
}


def _scored(context: RoundContext, data: SiteData, split: str) -> Examples:
    """What a split's numbers are told of."""
    return one_example_each(data.examples(split), context.study.digest, context.site)


def _scores(context: RoundContext, data: SiteData, examples: Examples) -> NDArray[np.float64]:
    """Probabilities by the weights received. Shape: `[examples, tasks]`."""
    return predict(
        context.study,
        data.store,
        examples,
        num_tokens=data.num_tokens,
        weights=context.weights,
        compute=context.compute,
        models=context.models,
    )


def _train_report(
    context: RoundContext,
    num_subjects: int,
    min_cell: int,
    result: RoundResult,
    metrics: dict[str, float],
) -> TrainReport:
    return TrainReport(
        site=context.site,
        num_examples=told_count(num_subjects, min_cell),
        num_steps=result.num_steps,
        loss=result.loss,
        update=result.update,
        moments=result.moments,
        metrics={**_done(result), **metrics},
    )


def _answered(result: RoundResult, context: RoundContext) -> RoundResult:
    """What the study's plan lets travel: what is frozen has no change, what is local stays."""
    plan = TuningPlan.of(context.study)
    names = [name for name in result.update if plan.is_answered(name, context.round_number)]
    update = {name: result.update[name] for name in names}
    if result.moments is None:
        return replace(result, update=update)
    travelling = moment_shapes({name: update[name].shape for name in names})
    moments = {name: value for name, value in result.moments.items() if name in travelling}
    return replace(result, update=update, moments=moments)


def _done(result: RoundResult) -> dict[str, float]:
    """Seconds in tenths: the coordinator's own clock, from request to answer, tells no less."""
    return {
        "learning_rate": result.learning_rate,
        "grad_norm": result.gradient_norm,
        "seconds": round(result.seconds, 1),
    }


def _shares(shares: BackOffShares) -> dict[str, float]:
    """In whole percents: two vocabularies that differ in one code would otherwise tell, by the
    difference of the shares, how many events of it the site has, however rare it is there."""
    named = asdict(shares)
    told = {name: share for name, share in named.items() if share is not None}
    return {f"back_off.{name}": round(share, 2) for name, share in told.items()}


def _require_agreed(work: Work) -> None:
    reuse = work.study.vocabulary.reuse
    if reuse not in {"", work.vocabulary_digest}:
        raise WireError("the vocabulary is not the one that the study re-uses. It was not used.")


def _required(model: Arrays | None) -> Arrays:
    if model is None:
        raise WireError("the request holds no weights. Use the same fedehr version.")
    return model
