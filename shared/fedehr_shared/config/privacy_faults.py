"""`privacy_fault`: what in a study would make its epsilon untrue."""

from typing import TYPE_CHECKING

from fedehr_shared.config.privacy import PrivatePhase

if TYPE_CHECKING:
    from fedehr_shared.config.study import StudyConfig


def privacy_fault(study: "StudyConfig") -> str:
    """In words, what contradicts the study's `[privacy]`; empty where nothing does."""
    if study.privacy.mechanism == "local":
        return _local_fault(study)
    return _central_fault(study) if study.privacy.mechanism == "central" else ""


def _local_fault(study: "StudyConfig") -> str:
    for phase in study.privacy.phases:
        fault = _steps_fault(study, phase)
        if fault:
            return fault
    if "pretraining" not in study.privacy.phases:
        return ""
    if study.objective.kind != "masked_events" or study.objective.num_views == 2:
        return (
            "[privacy] clips each subject's gradient on its own, and of the objectives "
            "'masked_events' alone, without a contrastive term, keeps subjects apart"
        )
    if study.pretraining.private_bias:
        return (
            "[pretraining] private_bias follows the site's records without noise, and every "
            "gradient would tell of it: leave it out, or leave pretraining out of [privacy] phases"
        )
    return ""


def _steps_fault(study: "StudyConfig", phase: PrivatePhase) -> str:
    config = study.pretraining if phase == "pretraining" else study.finetuning
    for key in ("epochs_per_round", "minutes_per_round", "batch_subjects"):
        if getattr(config, key):
            return (
                f"[{phase}] {key} makes the number of steps follow from the site's own records, "
                "which [privacy] cannot account for: give steps_per_round"
            )
    return ""


def _central_fault(study: "StudyConfig") -> str:
    for name, config in (("pretraining", study.pretraining), ("finetuning", study.finetuning)):
        if config.rounds and config.optimizer_state == "averaged":
            return (
                f"[{name}] optimizer_state = 'averaged' sends moments that [privacy] mechanism "
                "'central' does not cover: choose 'kept' or 'fresh'"
            )
    if study.finetuning.tuning == "lora" and study.lora.aggregation != "average":
        return (
            "[privacy] mechanism 'central' adds noise to the mean of the updates: [lora] "
            f"aggregation '{study.lora.aggregation}' has no such mean, choose 'average'"
        )
    return ""
