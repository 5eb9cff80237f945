"""One real training step on the device found, and what a round would take."""

import time
from dataclasses import dataclass, replace

import torch
from torch import nn

from fedehr_client.answers.site_data import SiteData
from fedehr_client.check.report import Finding, Section, Verdict
from fedehr_client.compute.compute import Compute, choose_compute
from fedehr_client.locator import SiteLocation
from fedehr_client.training.loop import RoundContext
from fedehr_client.training.pretraining import PretrainingData, pretrain_round
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
        compute = choose_compute(location.compute)
        data = SiteData(location, study, vocabulary)
        subjects = data.pretraining()
        seconds, loss = time_steps(location, study, vocabulary, subjects, compute)
    except FedehrError as error:
        return Section(TRAINING_TITLE, (Finding("training_step", Verdict.FAILED, str(error)),))
    except torch.OutOfMemoryError:
        text = "the device ran out of memory. Lower [sequence] context or the model's size."
        return Section(TRAINING_TITLE, (Finding("training_step", Verdict.FAILED, text),))
    tokens = int(data.store.offsets[-1])
    step = Finding(
        "training_step",
        Verdict.OK,
        f"{_device_name(compute.device)}: a step of pre-training takes {seconds:.2f} s.",
        {
            "device": _device_name(compute.device),
            "seconds": seconds,
            "loss": loss,
            "num_tokens": tokens,
        },
    )
    return Section(TRAINING_TITLE, (step, *_estimates(study, vocabulary, seconds)))


def time_steps(
    location: SiteLocation,
    study: StudyConfig,
    vocabulary: Vocabulary,
    subjects: PretrainingData,
    compute: Compute,
) -> tuple[float, float]:
    """Seconds a step, after a first one that is not timed, and the last mean loss in nats.

    Raises:
        TrainingError: a loss is NaN or infinite.
    """
    model = PretrainingModel(study.model, study.objective, vocabulary.num_tokens)
    context = RoundContext(
        study=_with_steps(study, 1),
        site=location.name,
        round_number=1,
        num_tokens=vocabulary.num_tokens,
        weights=draw_first_weights(model, study.seed, "pretraining"),
        moments=None,
        compute=compute,
    )
    pretrain_round(context, subjects)
    timed = replace(context, study=_with_steps(study, NUM_TIMED_STEPS))
    begin = time.perf_counter()
    result = pretrain_round(timed, subjects)
    return (time.perf_counter() - begin) / NUM_TIMED_STEPS, result.loss


def estimate_round(
    config: OptimizationConfig, model: nn.Module, seconds_per_step: float
) -> RoundEstimate:
    """A round of `config` with a model of `model`'s size."""
    num_copies = 3 if config.optimizer_state == "averaged" else 1
    num_bytes = sum(p.numel() * p.element_size() for p in model.parameters())
    minutes = config.steps_per_round * seconds_per_step / 60
    return RoundEstimate(minutes, num_copies * num_bytes)


def _estimates(
    study: StudyConfig, vocabulary: Vocabulary, seconds_per_step: float
) -> tuple[Finding, ...]:
    num_tokens = vocabulary.num_tokens
    with torch.device("meta"):
        pretraining = PretrainingModel(study.model, study.objective, num_tokens)
        finetuning = FinetuningModel(study.model, study.finetuning, num_tokens)
    # Fine-tuning sees fewer subjects a step than pre-training: its minutes are an upper bound.
    return (
        _estimate("pretraining", study.pretraining, pretraining, seconds_per_step),
        _estimate("finetuning", study.finetuning, finetuning, seconds_per_step),
    )


def _estimate(
    phase: str, config: OptimizationConfig, model: nn.Module, seconds_per_step: float
) -> Finding:
    estimate = estimate_round(config, model, seconds_per_step)
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
    phase = study.pretraining.model_copy(update={"steps_per_round": num_steps, "rounds": rounds})
    return study.model_copy(update={"pretraining": phase})


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    return f"CPU ({torch.get_num_threads()} threads)"
