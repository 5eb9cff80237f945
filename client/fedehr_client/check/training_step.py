"""One real training step on the device found, and what a round would take."""

import math
from dataclasses import dataclass, replace

import torch
from torch import nn

from fedehr_client.answers.site_data import SiteData
from fedehr_client.check.report import Finding, Section, Verdict
from fedehr_client.compute.compute import Compute, choose_compute
from fedehr_client.compute.memory import estimate_memory
from fedehr_client.locator import SiteLocation
from fedehr_client.privacy.settled_noise import settled_noise
from fedehr_client.training.batch_size import usual_batch_tokens
from fedehr_client.training.entropy import code_entropy
from fedehr_client.training.pretraining import PretrainingData, pretrain_round
from fedehr_client.training.round import RoundContext
from fedehr_shared.config.optimization import OptimizationConfig
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import FedehrError
from fedehr_shared.model.finetuning_model import FinetuningModel
from fedehr_shared.model.pretraining_model import PretrainingModel
from fedehr_shared.model.weights import draw_first_weights
from fedehr_shared.vocabulary.vocabulary import Vocabulary

TRAINING_TITLE = "Training on this machine"
NUM_TIMED_STEPS = 3


@dataclass(frozen=True)
class RoundEstimate:
    """What one round of a phase takes at this site.

    Attributes:
        minutes: training time.
        bytes_each_way: the weights, and AdamW's moments where the study averages them, as they
            travel down and, as an update of the same size, up.
    """

    minutes: float
    bytes_each_way: int


def check_training(location: SiteLocation, study: StudyConfig, vocabulary: Vocabulary) -> Section:
    """Build the token store, take steps of pre-training, and reckon the study's rounds.

    Args:
        location: the site; its work folder receives the token store.
        study: the study, or a stand-in of default settings.
        vocabulary: the study's, or one of the site's own codes.
    """
    try:
        compute = choose_compute(location.compute, study)
        data = SiteData(location, study, vocabulary)
        subjects = data.pretraining()
        timed = time_steps(location, study, vocabulary, subjects, compute)
    except FedehrError as error:
        return Section(TRAINING_TITLE, (Finding("training_step", Verdict.FAILED, str(error)),))
    except torch.OutOfMemoryError:
        text = "the device ran out of memory. Lower [sequence] context or the model's size."
        return Section(TRAINING_TITLE, (Finding("training_step", Verdict.FAILED, text),))
    memory = _memory(study, vocabulary, subjects, compute)
    step = _step(study, vocabulary, subjects, timed, compute)
    rounds = _estimates(study, vocabulary, subjects.rows.size, timed.seconds)
    return Section(TRAINING_TITLE, (step, memory, *rounds))


def _step(
    study: StudyConfig,
    vocabulary: Vocabulary,
    subjects: PretrainingData,
    timed: "TimedSteps",
    compute: Compute,
) -> Finding:
    entropy, guess = code_entropy(subjects), math.log(vocabulary.num_tokens)
    beside = (
        f" (a blind guess {guess:.2f}, the code frequencies alone {entropy:.2f})"
        if study.objective.kind != "contrastive"
        else ""
    )
    return Finding(
        "training_step",
        Verdict.OK,
        f"{compute.describe()}: a step of pre-training takes {timed.seconds:.2f} s; the first "
        f"step's loss is {timed.first_loss:.2f} nats{beside}.",
        {
            "device": compute.describe(),
            "seconds": timed.seconds,
            "loss": timed.first_loss,
            "code_entropy": entropy,
            "log_vocabulary": guess,
            "num_tokens": int(subjects.store.offsets[-1]),
        },
    )


def _memory(
    study: StudyConfig, vocabulary: Vocabulary, subjects: PretrainingData, compute: Compute
) -> Finding:
    estimate = estimate_memory(study, "pretraining", vocabulary.num_tokens, compute)
    batch = usual_batch_tokens(study, subjects)
    at_once = min(batch, compute.token_budget or batch)
    figures: dict[str, float | int | str | None] = {"bytes": estimate.total_bytes(at_once)}
    return Finding("memory", Verdict.OK, f"{estimate.describe(at_once)}.", figures)


@dataclass(frozen=True)
class TimedSteps:
    """Seconds a step, after a first one that is not timed, and that one's loss in nats."""

    seconds: float
    first_loss: float


def time_steps(
    location: SiteLocation,
    study: StudyConfig,
    vocabulary: Vocabulary,
    subjects: PretrainingData,
    compute: Compute,
) -> TimedSteps:
    """Take a step, and then several by the clock; with noise, where the study has any.

    Raises:
        ConfigError: no noise keeps the study within its target epsilon.
        TrainingError: a loss is NaN or infinite.
    """
    study = settled_noise(study)
    model = PretrainingModel.of(study, vocabulary.num_tokens)
    context = RoundContext(
        study=_with_steps(study, 1),
        site=location.name,
        round_number=1,
        num_tokens=vocabulary.num_tokens,
        weights=draw_first_weights(model, study.seed, "pretraining"),
        moments=None,
        compute=compute,
        work=location.work,
    )
    first = pretrain_round(context, subjects)
    timed = replace(context, study=_with_steps(study, NUM_TIMED_STEPS))
    result = pretrain_round(timed, subjects)
    return TimedSteps(result.seconds / NUM_TIMED_STEPS, first.loss)


def estimate_round(
    config: OptimizationConfig, model: nn.Module, num_subjects: int, seconds_per_step: float
) -> RoundEstimate:
    """A round of `config` with a model of `model`'s size at a site of so many subjects."""
    num_copies = 3 if config.optimizer_state == "averaged" else 1
    num_bytes = sum(p.numel() * p.element_size() for p in model.parameters())
    minutes = _steps_a_round(config, num_subjects) * seconds_per_step / 60
    minutes = min(minutes, config.minutes_per_round or minutes)
    return RoundEstimate(minutes, num_copies * num_bytes)


def _steps_a_round(config: OptimizationConfig, num_subjects: int) -> float:
    if not config.epochs_per_round:
        return config.steps_per_round
    if not config.batch_subjects:
        return config.epochs_per_round * config.steps_per_epoch
    return config.epochs_per_round * math.ceil(num_subjects / config.batch_subjects)


def _estimates(
    study: StudyConfig, vocabulary: Vocabulary, num_subjects: int, seconds_per_step: float
) -> tuple[Finding, ...]:
    num_tokens = vocabulary.num_tokens
    with torch.device("meta"):
        pretraining = PretrainingModel.of(study, num_tokens)
        finetuning = FinetuningModel(study, num_tokens)
    # Fine-tuning sees fewer subjects a step than pre-training: its minutes are an upper bound.
    return (
        _estimate("pretraining", study.pretraining, pretraining, num_subjects, seconds_per_step),
        _estimate("finetuning", study.finetuning, finetuning, num_subjects, seconds_per_step),
    )


def _estimate(
    phase: str,
    config: OptimizationConfig,
    model: nn.Module,
    num_subjects: int,
    seconds_per_step: float,
) -> Finding:
    estimate = estimate_round(config, model, num_subjects, seconds_per_step)
    megabytes = estimate.bytes_each_way / 1e6
    bound = "about" if phase == "pretraining" else "at most"
    return Finding(
        f"{phase}_round",
        Verdict.OK,
        f"{phase}: {config.rounds} rounds of {bound} {estimate.minutes:.1f} min, "
        f"{megabytes:.1f} MB each way a round, {bound} "
        f"{config.rounds * estimate.minutes / 60:.1f} h and "
        f"{config.rounds * megabytes:,.0f} MB each way in all.",
        {
            "rounds": config.rounds,
            "minutes_per_round": estimate.minutes,
            "megabytes_each_way_per_round": megabytes,
        },
    )


def _with_steps(study: StudyConfig, num_steps: int) -> StudyConfig:
    rounds = max(1, study.pretraining.rounds)
    changes = {
        "steps_per_round": num_steps,
        "rounds": rounds,
        "epochs_per_round": 0.0,
        "minutes_per_round": 0.0,
    }
    phase = study.pretraining.model_copy(update=changes)
    return study.model_copy(update={"pretraining": phase})
