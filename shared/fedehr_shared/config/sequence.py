"""`[sequence]`: how a subject's events become one sequence."""

from typing import Annotated

from pydantic import Field

from fedehr_shared.config.section import Section


class SequenceConfig(Section):
    """How a subject's events become one sequence."""

    context: Annotated[int, Field(ge=8, le=16_384)] = 512
    """Longest sequence, in tokens."""
    skip_repeats: bool = True
    """Leave out a measurement whose token equals the code's previous one within a visit."""
