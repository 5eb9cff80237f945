"""`BlockStack`: layers one after the other, and how they are to be computed."""

from collections.abc import Callable

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from fedehr_shared.model.attention.attention_layout import AttentionLayout
from fedehr_shared.model.attention.backends import (
    AttentionBackend,
    attention_backend,
    bears_compiling,
)
from fedehr_shared.model.attention.flex import attend_flex
from fedehr_shared.model.attention.layout import SequenceLayout, Stream
from fedehr_shared.model.attention.row_layout import RowLayout
from fedehr_shared.model.block import EncoderBlock
from fedehr_shared.model.rotary import rotary_angles
from fedehr_shared.tokens.padded_batch import PaddedBatch
from fedehr_shared.tokens.padded_masking import RowPlaces
from fedehr_shared.tokens.places import Places


class BlockStack(nn.ModuleList):
    """Layers over a flat stream, or padded rows; parameters are named `<number>.<name>`.

    Attributes:
        checkpointing: whether a layer's activations are computed again in the backward pass
            instead of being kept.
    """

    def __init__(self, layers: int, hidden: int, heads: int) -> None:
        super().__init__(EncoderBlock(hidden, heads) for _ in range(layers))
        self.head_size = hidden // heads
        self.checkpointing = False

    def forward(
        self,
        x: torch.Tensor,
        hours: torch.Tensor,
        stream: Stream | PaddedBatch,
        places: Places | RowPlaces | None = None,
    ) -> torch.Tensor:
        """All layers. `[tokens, hidden]` to the same, or to `[places, hidden]`; or, of rows,
        `[subjects, length, hidden]` to the same, or to `[subjects, places, hidden]`.

        Args:
            x: the stream, or the rows.
            hours: `[tokens]` or `[subjects, length]`, since each sequence's first event.
            stream: where the sequences lie.
            places: the tokens whose encodings are wanted: the last layer computes no others.
                None: all.
        """
        turns = rotary_angles(hours, self.head_size)
        inner, last = _layouts(stream, places)
        blocks = list(self)
        for block in blocks[:-1]:
            x = self._through(block, x, turns, inner, None)
        index = None if places is None else places.index
        return self._through(blocks[-1], x, turns, last, index)

    def _through(
        self,
        block: nn.Module,
        x: torch.Tensor,
        turns: tuple[torch.Tensor, torch.Tensor],
        layout: AttentionLayout | RowLayout,
        index: torch.Tensor | None,
    ) -> torch.Tensor:
        if block.attention is attend_flex and isinstance(layout, AttentionLayout):
            layout.make_block_mask()
        encoded: torch.Tensor
        if self.checkpointing and torch.is_grad_enabled():
            encoded = checkpoint(block, x, *turns, layout, index, use_reentrant=False)
        else:
            encoded = block(x, *turns, layout, index)
        return encoded


def _layouts(
    stream: Stream | PaddedBatch, places: Places | RowPlaces | None
) -> tuple[AttentionLayout | RowLayout, AttentionLayout | RowLayout]:
    """Of all layers but the last, and of the last, in which the wanted places alone ask."""
    if isinstance(stream, PaddedBatch):
        rows = RowLayout.of(stream)
        return rows, rows
    whole = SequenceLayout.of(stream)
    all_see_all = AttentionLayout(whole, whole)
    if not isinstance(places, Places):
        return all_see_all, all_see_all
    return all_see_all, AttentionLayout(SequenceLayout.of(places), whole)


def set_attention(model: nn.Module, name: str) -> None:
    """Compute the attention of every layer in `model` by the backend of that name.

    Raises:
        ConfigError: there is no backend of that name.
    """
    backend = attention_backend(name)
    for block in _blocks(model):
        block.attention = backend
        _leave_attention_out(block)


def set_checkpointing(model: nn.Module, on: bool) -> None:
    """Whether layers keep their activations or compute them again: less memory, a third slower.

    Gradients are the same.
    """
    for module in model.modules():
        if isinstance(module, BlockStack):
            module.checkpointing = on


def compile_blocks(model: nn.Module) -> None:
    """Compile every layer in place, for streams of any length; parameters keep their names."""
    for block in _blocks(model):
        block.compile(dynamic=True)
        _leave_attention_out(block)


def uncompile_blocks(model: nn.Module) -> None:
    """Run every layer as it is written."""
    for block in _blocks(model):
        block._compiled_call_impl = None


def _blocks(model: nn.Module) -> list[EncoderBlock]:
    return [module for module in model.modules() if isinstance(module, EncoderBlock)]


def _leave_attention_out(block: EncoderBlock) -> None:
    """In a compiled block, attention that depends on the lengths is run as it is written:
    compiled, it would be compiled anew for every batch."""
    is_compiled = block._compiled_call_impl is not None
    if is_compiled and not bears_compiling(block.attention):
        disable: Callable[[AttentionBackend], AttentionBackend] = torch.compiler.disable
        block.attention = disable(block.attention)
