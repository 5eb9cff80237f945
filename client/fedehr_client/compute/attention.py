"""Which attention backend a site computes with."""

from typing import cast

import torch

from fedehr_client.compute.compilation import compile_fault
from fedehr_client.compute.precision import Precision
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import ConfigError
from fedehr_shared.model.attention.backends import AttentionName, available
from fedehr_shared.model.objectives.decoder import decoder_heads, decoder_width

_BY_SPEED: dict[str, tuple[AttentionName, ...]] = {
    "cuda": ("varlen", "flex", "sdpa"),
    "cpu": ("sdpa",),
}


def choose_attention(
    wanted: str, device: torch.device, precision: Precision, study: StudyConfig | None
) -> AttentionName:
    """`auto` takes the quickest backend that can train the study's model here.

    Under `deterministic` the choice is the same: the backward pass of `varlen` is told to add
    in one order then (FlashAttention reads torch's setting), and `flex` adds nothing at once.

    Raises:
        ConfigError: what is asked for cannot be used here.
    """
    if wanted == "auto":
        names = _BY_SPEED[device.type]
        return next(name for name in names if _fault(name, device, precision, study) is None)
    if fault := _fault(wanted, device, precision, study):
        raise ConfigError(
            f"the site file asks for [compute] attention = '{wanted}' on {device.type} with "
            f"precision {precision}, and {fault}. Set it to 'auto'."
        )
    return cast(AttentionName, wanted)


def _fault(
    name: str, device: torch.device, precision: Precision, study: StudyConfig | None
) -> str | None:
    sizes: list[int | None] = [*_head_sizes(study)] if study else [None]
    faults = [available(name, device.type, precision, size) for size in sizes]
    if name == "flex":
        faults.append(compile_fault(device))
    return next((fault for fault in faults if fault is not None), None)


def _head_sizes(study: StudyConfig) -> set[int]:
    model = study.model
    sizes = {model.hidden // model.heads}
    if study.objective.kind == "masked_autoencoder":
        sizes.add(decoder_width(model) // decoder_heads(model))
    return sizes
