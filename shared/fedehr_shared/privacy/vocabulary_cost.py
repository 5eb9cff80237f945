"""`VocabularyCost`: what a noisy vocabulary costs each subject."""

from dataclasses import dataclass

from fedehr_shared.config.vocabulary import VocabularyConfig
from fedehr_shared.privacy.gaussian import gaussian_multiplier
from fedehr_shared.privacy.noisy_steps import NoisySteps


@dataclass(frozen=True)
class VocabularyCost:
    """One release of counts with Gaussian noise, and the names of codes in it.

    Attributes:
        steps: the release.
        delta: that the study states for it.
        naming_delta: half of it: the chance that a code is named that one subject alone has. No
            noise's, it is taken off the delta that an account is reckoned at.
    """

    steps: NoisySteps
    delta: float
    naming_delta: float

    @classmethod
    def of(cls, config: VocabularyConfig) -> "VocabularyCost | None":
        """The cost of a study's vocabulary; None where it has no noise.

        The multiplier is the noise by what one subject can change, whatever is released.
        """
        if not config.noise_epsilon:
            return None
        half = config.noise_delta / 2
        steps = NoisySteps(gaussian_multiplier(config.noise_epsilon, half), 1.0, 1)
        return cls(steps, config.noise_delta, half)
