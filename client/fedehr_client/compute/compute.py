"""`Compute`: how a round is computed, decided from `[compute]` and the hardware found."""

from dataclasses import dataclass
from typing import Literal

import torch

from fedehr_client.compute.config import ComputeConfig
from fedehr_client.compute.device import choose_device

AttentionName = Literal["sdpa", "varlen", "flex", "padded"]
Precision = Literal["fp32", "bf16", "fp16"]


@dataclass(frozen=True)
class Compute:
    """Every choice made.

    Attributes:
        device: where to train.
        attention: the attention backend.
        precision: of the matrix products; weights stay in fp32.
        compile: whether `torch.compile` is used.
        checkpointing: whether activations are computed again in the backward pass.
        token_budget: most tokens in memory at once; None: a whole batch.
        deterministic: whether only deterministic operations are taken.
    """

    device: torch.device
    attention: AttentionName = "sdpa"
    precision: Precision = "fp32"
    compile: bool = False
    checkpointing: bool = False
    token_budget: int | None = None
    deterministic: bool = False


def choose_compute(config: ComputeConfig) -> Compute:
    """What the site file asks for, and what suits the hardware where it says `auto`.

    Raises:
        ConfigError: the hardware cannot do what is asked for.
    """
    return Compute(device=choose_device(config.device))
