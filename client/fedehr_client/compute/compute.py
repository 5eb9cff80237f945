"""`Compute`: how a round is computed, decided from `[compute]` and the hardware found."""

from dataclasses import dataclass

import torch

from fedehr_client.compute.attention import choose_attention
from fedehr_client.compute.compilation import choose_compile
from fedehr_client.compute.config import ComputeConfig
from fedehr_client.compute.determinism import set_determinism
from fedehr_client.compute.device import choose_device, device_name
from fedehr_client.compute.precision import Precision, choose_precision
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.model.attention.backends import AttentionName

CHECKPOINTING, TOKEN_BUDGET = "checkpointing", "token_budget"


@dataclass(frozen=True)
class Compute:
    """Every choice made. Two of them may be preliminary until the model is known: see
    `fit_to_memory`.

    Attributes:
        device: where to train.
        attention: the attention backend.
        precision: of the matrix products; weights stay in fp32.
        compile: whether `torch.compile` is used.
        checkpointing: whether activations are computed again in the backward pass.
        token_budget: most tokens in memory at once; None: a whole batch.
        deterministic: whether only deterministic operations are taken.
        to_fit: which of `checkpointing` and `token_budget` the site leaves to the model's size.
    """

    device: torch.device
    attention: AttentionName = "sdpa"
    precision: Precision = "fp32"
    compile: bool = False
    checkpointing: bool = False
    token_budget: int | None = None
    deterministic: bool = False
    to_fit: frozenset[str] = frozenset()

    def describe(self) -> str:
        """One line for a log: the device and each choice."""
        parts = [
            device_name(self.device),
            self.precision,
            f"{self.attention} attention",
            "compiled" if self.compile else "",
            "checkpointing" if self.checkpointing else "",
            "deterministic" if self.deterministic else "",
            self._budget_words(),
        ]
        return ", ".join(part for part in parts if part)

    def _budget_words(self) -> str:
        if TOKEN_BUDGET in self.to_fit:
            return "as many tokens at once as fit"
        return f"{self.token_budget:,} tokens at once" if self.token_budget else ""


def choose_compute(config: ComputeConfig, study: StudyConfig | None = None) -> Compute:
    """What the site file asks for, and what suits the hardware where it says `auto`.

    Args:
        config: the site's section.
        study: for what its model asks of the attention backends; None: what suits any.

    Raises:
        ConfigError: the hardware cannot do what is asked for; both are named.
    """
    device = choose_device(config.device)
    set_determinism(config.deterministic, device)
    precision = choose_precision(config.precision, device, study.model.hidden if study else None)
    attention = choose_attention(config.attention, device, precision, study)
    return Compute(
        device=device,
        attention=attention,
        precision=precision,
        compile=choose_compile(config.compile, device, attention),
        checkpointing=config.checkpointing == "on",
        token_budget=None if config.token_budget == "auto" else config.token_budget,
        deterministic=config.deterministic,
        to_fit=frozenset(
            name for name in (CHECKPOINTING, TOKEN_BUDGET) if getattr(config, name) == "auto"
        ),
    )
