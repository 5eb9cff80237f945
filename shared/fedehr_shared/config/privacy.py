"""`[privacy]`: noise in training, and the epsilon that it is for."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from fedehr_shared.config.section import Section

PrivatePhase = Literal["pretraining", "finetuning"]

_LEAST_DELTA = 1e-12
"""Below it the calibration of the noise would be lost in rounding."""

_LEAST_NOISE = 0.01
"""Below it nothing is hidden: one step alone has an epsilon of thousands."""

_OF_CENTRAL = ("max_update_norm",)
_OF_LOCAL = (
    "phases", "nominal_subjects", "pretraining", "finetuning",
    "clipping_quantile", "clipping_rate", "clipping_count_noise",
)  # fmt: skip
"""Settings that one mechanism alone reads."""


class PrivatePhaseConfig(Section):
    """`[privacy.pretraining]`, `[privacy.finetuning]`: one phase of DP-SGD at a site."""

    sample_rate: Annotated[float, Field(gt=0, le=1)] = 0.05
    """A step sees each training subject with this chance, independently (Poisson sampling)."""
    max_grad_norm: Annotated[float, Field(gt=0, le=1_000)] = 1.0
    """A subject's gradient is scaled down to this norm; the first one, where it adapts."""


class PrivacyConfig(Section):
    """Differential privacy of the training; neighboring data sets differ by one unit, added or
    removed."""

    mechanism: Literal["none", "local", "central"] = "none"
    """`local`: sites add noise themselves (DP-SGD, Abadi et al. 2016), the unit is a subject, and
    not even the coordinator need be trusted. `central`: the coordinator clips and noises the
    mean of the updates (McMahan et al. 2018), the unit is a site, and it sees the updates."""
    phases: tuple[PrivatePhase, ...] = ("pretraining", "finetuning")
    """`local`: the phases with noise. What the others send, epsilon does not cover."""
    target_epsilon: Annotated[float, Field(ge=0, le=1_000)] = 0.0
    """Of the whole study, all rounds of all its noisy phases together: the noise follows."""
    target_delta: Annotated[float, Field(ge=0, lt=0.01)] = 0.0
    """Well below one in the number of a site's subjects (or, `central`, of sites)."""
    noise_multiplier: Annotated[float, Field(ge=0, le=1_000)] = 0.0
    """In place of `target_epsilon`: the noise's standard deviation by what one unit can change."""
    nominal_subjects: Annotated[int, Field(ge=1, le=100_000_000)] = 1_000
    """A public guess of a site's training subjects. What scales a site's steps is reckoned from
    it, never from the site's own number, which is not public."""
    pretraining: PrivatePhaseConfig = PrivatePhaseConfig()
    finetuning: PrivatePhaseConfig = PrivatePhaseConfig()
    clipping_quantile: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """With a number above 0 the clipping norm follows this quantile of the subjects' gradient
    norms (Andrew et al. 2021), whose noisy count is part of the noise's price."""
    clipping_rate: Annotated[float, Field(gt=0, le=2)] = 0.2
    """How quickly it follows."""
    clipping_count_noise: Annotated[float, Field(gt=0, le=1_000)] = 10.0
    """Noise multiplier of that count: the count's standard deviation, in subjects."""
    metrics: Literal["cell_rule", "withheld"] = "cell_rule"
    """What a site tells of its own training and tuning split beside the update. `cell_rule`: as
    in a study without noise; epsilon does not cover it. `withheld`: nothing but its update."""
    max_update_norm: Annotated[float, Field(gt=0, le=1_000_000)] = 1.0
    """`central`: an update is scaled down to this norm."""

    @model_validator(mode="after")
    def _settings_belong_together(self) -> "PrivacyConfig":
        if self.mechanism == "none":
            if self.model_dump(exclude_defaults=True):
                raise ValueError("settings are given, and mechanism is not 'local' or 'central'")
            return self
        if (self.target_epsilon > 0) == (self.noise_multiplier > 0):
            raise ValueError("give target_epsilon or noise_multiplier, one of the two")
        if 0 < self.noise_multiplier < _LEAST_NOISE:
            raise ValueError(f"noise_multiplier must be at least {_LEAST_NOISE:g}")
        if self.target_delta < _LEAST_DELTA:
            raise ValueError(f"target_delta must be given, at least {_LEAST_DELTA}")
        if len(set(self.phases)) < len(self.phases) or not self.phases:
            raise ValueError("phases names one twice, or none")
        return self

    @model_validator(mode="after")
    def _settings_are_read(self) -> "PrivacyConfig":
        """What would change nothing is refused: it says that its author expects something."""
        others = {"local": _OF_CENTRAL, "central": _OF_LOCAL}.get(self.mechanism, ())
        given = self.model_dump(exclude_defaults=True)
        unread = next((name for name in others if name in given), "")
        if unread:
            raise ValueError(f"{unread} has no meaning with mechanism '{self.mechanism}'")
        if not self.clipping_quantile:
            for name in ("clipping_rate", "clipping_count_noise"):
                if name in given:
                    raise ValueError(f"{name} is given without clipping_quantile")
        elif self.noise_multiplier >= 2 * self.clipping_count_noise:
            raise ValueError(
                f"clipping_count_noise = {self.clipping_count_noise:g} alone costs more than "
                f"noise_multiplier = {self.noise_multiplier:g} allows: give more than half of that"
            )
        return self

    def of_phase(self, phase: PrivatePhase) -> PrivatePhaseConfig:
        """One phase's settings."""
        return self.pretraining if phase == "pretraining" else self.finetuning

    def is_private(self, phase: str) -> bool:
        """Whether sites add noise in a phase."""
        return self.mechanism == "local" and phase in self.phases

    def expected_batch_subjects(self, phase: PrivatePhase) -> float:
        """What a sum over a step's subjects is divided by: public, whatever the site's size."""
        return self.of_phase(phase).sample_rate * self.nominal_subjects
