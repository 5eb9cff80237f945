"""The two phases of a study as two studies with the same noise, so that one may be shared."""

from fedehr_shared.config.privacy import PrivacyConfig, PrivatePhase, PrivatePhaseConfig
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.privacy.study_cost import StudyCost


def without_noise(study: StudyConfig) -> StudyConfig:
    """The same study, and no `[privacy]`."""
    return study.model_copy(update={"privacy": PrivacyConfig()})


def of_both_phases(study: StudyConfig) -> float:
    """The charged noise multiplier with which both phases together keep the study's target.

    Raises:
        ConfigError: no noise does.
    """
    return StudyCost.of(study).charged_multiplier


def noisy_study(
    study: StudyConfig, whole: StudyConfig, phase: PrivatePhase, multiplier: float
) -> StudyConfig:
    """A study with noise in one phase alone, as a part of `whole`.

    Args:
        study: whose other sections it has.
        whole: whose `[privacy]` it has.
        phase: the phase.
        multiplier: in place of a target, which would be met by the one phase with less noise.
    """
    changed = {
        "target_epsilon": 0.0,
        "noise_multiplier": multiplier,
        "phases": (phase,),
        # What the other phase clips plays no part in this one, and none in its digest.
        "finetuning" if phase == "pretraining" else "pretraining": PrivatePhaseConfig(),
    }
    return study.model_copy(update={"privacy": whole.privacy.model_copy(update=changed)})
