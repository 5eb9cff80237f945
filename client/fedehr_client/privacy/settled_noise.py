"""`settled_noise`: a study whose noise stays what it is, however its rounds are changed."""

from fedehr_shared.config.study import StudyConfig


def settled_noise(study: StudyConfig) -> StudyConfig:
    """The study with its noise multiplier in the place of the epsilon that it is reckoned from.

    A trial run has fewer steps than the study. The noise that these would need for the same
    epsilon is not the study's, and would show another learning than the study's.

    Raises:
        ConfigError: no noise keeps the study within its target.
    """
    privacy = study.privacy
    if privacy.mechanism != "local" or privacy.noise_multiplier:
        return study
    from fedehr_shared.privacy.study_cost import StudyCost

    charged = StudyCost.of(study).charged_multiplier
    settled = privacy.model_copy(update={"target_epsilon": 0.0, "noise_multiplier": charged})
    return study.model_copy(update={"privacy": settled})
