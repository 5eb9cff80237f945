"""`ComputeConfig`: `[compute]` of a site file, what a site computes with and how."""

from typing import Annotated, Literal

from pydantic import Field

from fedehr_shared.config.section import Section


class ComputeConfig(Section):
    """The site's own hardware. None of it changes what is learnt, but for rounding."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    num_threads: Annotated[int, Field(ge=1, le=1_024)] | None = None
    """Torch threads; left out, torch decides."""
    attention: Literal["auto", "sdpa", "varlen", "flex", "padded"] = "auto"
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    compile: Literal["auto", "on", "off"] = "auto"
    checkpointing: Literal["auto", "on", "off"] = "auto"
    """Activations are computed again in the backward pass instead of being kept."""
    token_budget: Annotated[int, Field(ge=64, le=100_000_000)] | Literal["auto"] = "auto"
    """Most tokens in memory at once; a larger batch is added up from pieces."""
    deterministic: bool = False
    """On a GPU, take only operations that give the same bits each time, though slower."""
