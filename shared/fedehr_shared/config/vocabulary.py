"""`[vocabulary]`: what may become a token."""

from typing import Annotated

from pydantic import Field, model_validator

from fedehr_shared.config.section import Section

_LEAST_DELTA = 1e-12
"""Below it the calibration of the noise would be lost in rounding."""


class VocabularyConfig(Section):
    """What may become a token, and what a site may report to decide it."""

    min_cell: Annotated[int, Field(ge=2, le=1_000)] = 11
    """No number that rests on fewer subjects leaves a site. A site's own floor may be higher."""
    min_sites: Annotated[int, Field(ge=1, le=10_000)] = 2
    """A code is kept when this many sites report it or a code below it."""
    num_value_bins: Annotated[int, Field(ge=2, le=20)] = 10
    """Quantile bins of a numeric code (deciles by default)."""
    num_hash_buckets: Annotated[int, Field(ge=0, le=4_096)] = 64
    """Tokens for codes that neither the vocabulary nor their parents know: a code falls into one
    by the words of its description. Each is a row of the embedding, which travels; 64 rows are
    16 kB at `hidden = 64`. 0 leaves them out."""
    noise_epsilon: Annotated[float, Field(ge=0, le=100)] = 0.0
    """Epsilon of Gaussian noise on everything that a site reports but its number of subjects;
    with 0 counts are rounded and not noisy. Each site charges it to its subjects."""
    noise_delta: Annotated[float, Field(ge=0, lt=0.01)] = 0.0
    """Delta of the same; well below one in the number of a site's subjects."""
    max_codes_per_subject: Annotated[int, Field(ge=1, le=100_000)] = 64
    """With noise, at how many codes a subject counts at most, codes above its own included.
    The noise grows with the square root of it."""
    reuse: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    """The digest of a vocabulary that an earlier study agreed on: sites report no code again."""

    @model_validator(mode="after")
    def _both_or_neither(self) -> "VocabularyConfig":
        if (self.noise_epsilon > 0) != (self.noise_delta > 0):
            raise ValueError("noise_epsilon and noise_delta go together: give both or neither")
        if 0 < self.noise_delta < _LEAST_DELTA:
            raise ValueError(f"noise_delta is 0 or at least {_LEAST_DELTA}")
        return self
