"""`Mechanism`: what a private step does to gradients, in public numbers alone."""

from dataclasses import dataclass

from fedehr_shared.config.privacy import PrivatePhase
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import ConfigError


@dataclass(frozen=True)
class Mechanism:
    """The sampled Gaussian mechanism of a phase (Abadi et al. 2016, "Deep Learning with
    Differential Privacy", algorithm 1).

    Attributes:
        noise_multiplier: the noise's standard deviation by the clipping norm.
        max_grad_norm: a subject's gradient is scaled down to it; the first, where it adapts.
        expected_subjects: what the sum of a step is divided by, whatever its subjects.
        quantile: of the subjects' norms that the clipping norm follows; 0: it stays.
        adaption_rate: how quickly it follows.
        count_noise: standard deviation of the count that it follows by, in subjects.
    """

    noise_multiplier: float
    max_grad_norm: float
    expected_subjects: float
    quantile: float = 0.0
    adaption_rate: float = 0.0
    count_noise: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what would be a step without noise.

        Raises:
            ConfigError: a number is not above 0.
        """
        for name in ("noise_multiplier", "max_grad_norm", "expected_subjects"):
            value = getattr(self, name)
            if not value > 0:
                raise ConfigError(
                    f"{name} = {value!r} gives a private step no noise: it must be above 0. Mend "
                    "[privacy] in the study."
                )

    @classmethod
    def of(cls, study: StudyConfig, phase: PrivatePhase) -> "Mechanism":
        """As the study asks in a phase.

        Raises:
            ConfigError: the study has no noise, or none keeps it within its target.
        """
        from fedehr_shared.privacy.study_cost import StudyCost

        privacy = study.privacy
        return cls(
            noise_multiplier=StudyCost.of(study).noise_multiplier,
            max_grad_norm=privacy.of_phase(phase).max_grad_norm,
            expected_subjects=privacy.expected_batch_subjects(phase),
            quantile=privacy.clipping_quantile,
            adaption_rate=privacy.clipping_rate,
            count_noise=privacy.clipping_count_noise,
        )
