"""`add_adapters`: low-rank adapters in the layers that a study names."""

from fedehr_shared.config.lora import LoraConfig
from fedehr_shared.model.block import EncoderBlock
from fedehr_shared.model.encoder import EventEncoder
from fedehr_shared.model.lora.lora_linear import LoraLinear
from fedehr_shared.model.lora.vera_linear import VeraLinear
from fedehr_shared.model.lora.vera_projections import VeraProjections


def add_adapters(encoder: EventEncoder, lora: LoraConfig, seed: int) -> None:
    """Replace the layers' matrices of `lora.target_modules` by adapted ones, in place.

    Names of what was there before stay. The adapters' values are torch's own until
    `draw_first_weights` or a checkpoint fills them.

    Args:
        encoder: with one entry of `blocks` a layer.
        lora: `[lora]`.
        seed: the study's, for VeRA's frozen projections.
    """
    blocks = [block for block in encoder.blocks if isinstance(block, EncoderBlock)]
    projections = _projections(blocks[0], lora, seed) if lora.variant == "vera" else None
    for layer, block in enumerate(blocks):
        rank = lora.rank_of(layer)
        if rank == 0:
            continue
        for name in lora.target_modules:
            linear = getattr(block, name)
            if projections is None:
                setattr(block, name, LoraLinear(linear, rank, lora.scale_of(layer)))
            else:
                setattr(block, name, VeraLinear(linear, rank, projections))


def _projections(block: EncoderBlock, lora: LoraConfig, seed: int) -> VeraProjections:
    """As large as the layers need; all blocks are alike."""
    linears = [getattr(block, name) for name in lora.target_modules]
    return VeraProjections(
        max(linear.in_features for linear in linears),
        max(linear.out_features for linear in linears),
        max(lora.layer_ranks) if lora.layer_ranks else lora.rank,
        seed,
    )
