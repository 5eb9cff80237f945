"""`[vocabulary]`: what may become a token."""

from typing import Annotated

from pydantic import Field

from fedehr_shared.config.section import Section


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
