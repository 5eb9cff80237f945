"""`[model]`: the encoder's size, by a name or by numbers."""

from typing import Annotated, Literal, NamedTuple

from pydantic import Field, model_validator

from fedehr_shared.config.section import Section


class EncoderSize(NamedTuple):
    """Layers, width and attention heads."""

    layers: int
    hidden: int
    heads: int


SIZES = {
    "tiny": EncoderSize(2, 64, 2),
    "small": EncoderSize(4, 128, 4),
    "base": EncoderSize(6, 256, 4),
    "large": EncoderSize(12, 768, 12),
}
"""Heads are 32 wide in the small sizes and 64 in the large ones, as tensor cores like them."""


class ModelConfig(Section):
    """The encoder's size. The head width `hidden / heads` must be even.

    In a file `size = "base"` may stand for the three numbers; they alone are kept, so that a
    study has one digest however its size was written.
    """

    layers: Annotated[int, Field(ge=1, le=48)] = SIZES["tiny"].layers
    hidden: Annotated[int, Field(ge=8, le=4_096)] = SIZES["tiny"].hidden
    heads: Annotated[int, Field(ge=1, le=64)] = SIZES["tiny"].heads
    pooling: Literal["mean", "sum", "attention"] = "mean"
    """How token encodings become one subject encoding for the task heads."""

    @model_validator(mode="before")
    @classmethod
    def _named_size(cls, values: object) -> object:
        if not isinstance(values, dict) or "size" not in values:
            return values
        given = dict(values)
        name = given.pop("size")
        if not isinstance(name, str) or name not in SIZES:
            raise ValueError(f"size must be one of {', '.join(SIZES)}")
        for key, number in SIZES[name]._asdict().items():
            if given.setdefault(key, number) != number:
                raise ValueError(f"size '{name}' has {key} = {number}: leave out one of the two")
        return given

    @model_validator(mode="after")
    def _even_heads(self) -> "ModelConfig":
        if self.hidden % (2 * self.heads):
            raise ValueError(
                f"hidden ({self.hidden}) must be a multiple of 2 x heads ({2 * self.heads})"
            )
        return self
