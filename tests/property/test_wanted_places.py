"""Encodings of some positions alone: those of the whole stream, without computing the others."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention.flex_attention import create_mask

from fedehr_shared.config.model import ModelConfig
from fedehr_shared.model.attention.document_mask import BLOCK_SIZE, document_mask
from fedehr_shared.model.attention.layout import SequenceLayout
from fedehr_shared.model.encoder import EventEncoder
from fedehr_shared.model.stack import set_attention, set_checkpointing
from fedehr_shared.model.weights import draw_first_weights, load_parameters
from fedehr_shared.tokens.batch import EventBatch
from fedehr_shared.tokens.places import Places

NUM_TOKENS = 40
CONFIG = ModelConfig(layers=2, hidden=16, heads=2)


def _batch(generator: np.random.Generator, lengths: list[int]) -> EventBatch:
    num = sum(lengths)
    cu_seqlens = torch.tensor([0, *np.cumsum(lengths).tolist()])
    whole = [torch.from_numpy(generator.integers(0, most, num)) for most in (NUM_TOKENS, 8, 4)]
    real = [torch.from_numpy(generator.random(num)).float() for _ in range(2)]
    return EventBatch(
        whole[0], real[0] * 900, real[1], whole[1], whole[2], cu_seqlens, cu_seqlens.tolist()
    )


def _places(generator: np.random.Generator, batch: EventBatch, share: float) -> Places:
    chosen = np.flatnonzero(generator.random(batch.tokens.numel()) < share)
    return Places.of(torch.from_numpy(chosen), batch)


def _gradients(encoder: EventEncoder, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    encoder.zero_grad(set_to_none=True)
    loss.backward()
    return {
        name: torch.zeros_like(p) if p.grad is None else p.grad.clone()
        for name, p in encoder.named_parameters()
    }


@pytest.mark.parametrize("attention", ["sdpa", "padded"])
@pytest.mark.parametrize("checkpointing", [False, True])
@settings(deadline=None, max_examples=25)
@given(
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=6),
    share=st.sampled_from([0.0, 0.1, 0.3, 1.0]),
    seed=st.integers(0, 9_999),
)
def test_wanted_encodings_and_their_gradients_are_those_of_the_whole(
    attention: str, checkpointing: bool, lengths: list[int], share: float, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    batch = _batch(generator, lengths)
    places = _places(generator, batch, share)
    encoder = EventEncoder(CONFIG, NUM_TOKENS)
    load_parameters(encoder, draw_first_weights(encoder, seed))
    encoder.double()
    batch = _in_double(batch)
    set_attention(encoder, attention)
    set_checkpointing(encoder, checkpointing)
    weight = torch.from_numpy(generator.standard_normal((len(places.index), CONFIG.hidden)))
    some, whole = encoder(batch, places), encoder(batch)[places.index]
    assert some.shape == (places.boundaries[-1], CONFIG.hidden)
    torch.testing.assert_close(some, whole, atol=1e-10, rtol=1e-8)
    found = _gradients(encoder, (some * weight).sum())
    expected = _gradients(encoder, (whole * weight).sum())
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-9, rtol=1e-6, msg=name)


def _in_double(batch: EventBatch) -> EventBatch:
    values: dict[str, Any] = dict(vars(batch))
    return EventBatch(**{**values, "ages": batch.ages.double()})


@settings(deadline=None, max_examples=25)
@given(
    lengths=st.lists(st.integers(1, 300), min_size=1, max_size=5),
    share=st.sampled_from([0.01, 0.3, 0.9]),
    seed=st.integers(0, 9_999),
)
def test_blocks_hold_every_pair_of_one_sequence(
    lengths: list[int], share: float, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    batch = _batch(generator, lengths)
    places = _places(generator, batch, share)
    if not places.boundaries[-1]:
        return
    asking, asked = SequenceLayout.of(places), SequenceLayout.of(batch)
    mask = document_mask(asking, asked)
    pairs = asking.owners[:, None] == asked.owners[None, :]
    assert torch.equal(
        create_mask(mask.mask_mod, None, None, *pairs.shape, device="cpu")[0, 0], pairs
    )
    partial, whole = mask.to_dense()[0, 0].bool(), _whole_blocks(mask)
    for row in range(-(-pairs.shape[0] // BLOCK_SIZE)):
        for column in range(-(-pairs.shape[1] // BLOCK_SIZE)):
            block = pairs[
                row * BLOCK_SIZE : (row + 1) * BLOCK_SIZE,
                column * BLOCK_SIZE : (column + 1) * BLOCK_SIZE,
            ]
            assert partial[row, column] or not block.any()
            assert block.all() or not whole[row, column]


def _whole_blocks(mask: Any) -> torch.Tensor:
    """Blocks that are computed without asking the mask. `[blocks, blocks]`."""
    counts, columns = mask.full_kv_num_blocks[0, 0], mask.full_kv_indices[0, 0]
    whole = torch.zeros(columns.shape, dtype=torch.bool)
    for row, count in enumerate(counts.tolist()):
        whole[row, columns[row, :count].long()] = True
    return whole


@settings(deadline=None, max_examples=40)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=2, max_size=6),
    share=st.sampled_from([0.0, 0.4, 1.0]),
    seed=st.integers(0, 9_999),
    data=st.data(),
)
def test_places_are_cut_with_their_stream(
    lengths: list[int], share: float, seed: int, data: st.DataObject
) -> None:
    generator = np.random.default_rng(seed)
    batch = _batch(generator, lengths)
    places = _places(generator, batch, share)
    start = data.draw(st.integers(0, len(lengths) - 1))
    some = range(start, data.draw(st.integers(start + 1, len(lengths))))
    piece = batch.cut(some)
    cut = places.cut(some, batch.boundaries[some.start])
    again = Places.of(cut.index, piece)
    assert cut.boundaries == again.boundaries == cut.cu_seqlens.tolist()
    chosen = batch.tokens[places.index]
    low, high = places.boundaries[some.start], places.boundaries[some.stop]
    assert torch.equal(piece.tokens[cut.index], chosen[low:high])
