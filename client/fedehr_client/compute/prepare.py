"""`prepare_model`: a model set to compute as a site chose."""

from torch import nn

from fedehr_client.compute.compute import Compute
from fedehr_shared.model.block import EncoderBlock
from fedehr_shared.model.stack import (
    compile_blocks,
    set_attention,
    set_checkpointing,
    uncompile_blocks,
)


def prepare_model(model: nn.Module, compute: Compute) -> None:
    """Set attention, checkpointing and compiling; doing it again changes nothing.

    A model that was compiled for other rounds is not compiled any more where `compute` says so.
    """
    if not compute.compile:
        uncompile_blocks(model)
    set_attention(model, compute.attention)
    set_checkpointing(model, compute.checkpointing)
    if compute.compile and not _is_compiled(model):
        compile_blocks(model)


def _is_compiled(model: nn.Module) -> bool:
    layers = [layer for layer in model.modules() if isinstance(layer, EncoderBlock)]
    return any(layer._compiled_call_impl is not None for layer in layers)
