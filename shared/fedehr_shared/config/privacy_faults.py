"""`privacy_fault`: what in a study would make its epsilon untrue."""

from typing import TYPE_CHECKING

from fedehr_shared.config.privacy import PrivatePhase

if TYPE_CHECKING:
    from fedehr_shared.config.study import StudyConfig

_WITH_A_MEAN = frozenset({"average", "frozen_a", "alternating"})
"""What `[lora] aggregation` may be where the mean of the updates gets noise."""


def privacy_fault(study: "StudyConfig") -> str:
    """In words, what contradicts the study's `[privacy]`; empty where nothing does."""
    if study.privacy.mechanism == "none":
        return ""
    of_mechanism = _local_fault if study.privacy.mechanism == "local" else _central_fault
    return of_mechanism(study) or _withheld_fault(study) or _no_noise_fault(study)


def _local_fault(study: "StudyConfig") -> str:
    privacy = study.privacy
    if privacy.target_delta * privacy.nominal_subjects > 1:
        return (
            f"[privacy] target_delta = {privacy.target_delta:g} allows the records of one in "
            f"{1 / privacy.target_delta:.0f} subjects to be sent as they are, and a site has "
            f"about nominal_subjects = {privacy.nominal_subjects}: give a smaller one"
        )
    for phase in privacy.phases:
        fault = _steps_fault(study, phase)
        if fault:
            return fault
    return _pretraining_fault(study) if "pretraining" in privacy.phases else ""


def _pretraining_fault(study: "StudyConfig") -> str:
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
    if study.finetuning.tuning == "lora" and study.lora.aggregation not in _WITH_A_MEAN:
        return (
            "[privacy] mechanism 'central' adds noise to the mean of the updates: [lora] "
            f"aggregation '{study.lora.aggregation}' has no such mean, choose 'average', "
            "'frozen_a' or 'alternating'"
        )
    if study.loss.task_weights == "dynamic":
        return (
            "[loss] task_weights = 'dynamic' gives every site weights that follow from each "
            "site's tuning losses, without the noise of [privacy] mechanism 'central': choose "
            "another"
        )
    if study.loss.class_weights == "balanced":
        return (
            "[loss] class_weights = 'balanced' gives every site weights that follow from each "
            "site's label counts, without the noise of [privacy] mechanism 'central': give each "
            "task its class_weights"
        )
    return ""


def _withheld_fault(study: "StudyConfig") -> str:
    if study.privacy.metrics != "withheld":
        return ""
    if study.loss.task_weights == "dynamic":
        return (
            "[loss] task_weights = 'dynamic' follows the sites' tuning losses, which [privacy] "
            "metrics = 'withheld' keeps at the sites: leave out one of the two"
        )
    if study.evaluation.calibration != "none":
        return (
            "[evaluation] calibration tells what each site finds on its tuning split, which "
            "[privacy] metrics = 'withheld' keeps at the sites: leave out one of the two"
        )
    return ""


def _no_noise_fault(study: "StudyConfig") -> str:
    rounds = {"pretraining": study.pretraining.rounds, "finetuning": study.finetuning.rounds}
    if any(rounds[phase] for phase in study.privacy.phases):
        return ""
    return (
        f"[privacy] mechanism '{study.privacy.mechanism}' adds noise to no round: "
        f"{' and '.join(study.privacy.phases)} have rounds = 0"
    )
