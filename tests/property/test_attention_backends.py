"""Attention backends against the padded reference, through whole encoders."""

from collections.abc import Callable
from dataclasses import replace
from itertools import accumulate

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention.flex_attention import create_block_mask

from fedehr_shared.config.model import ModelConfig
from fedehr_shared.model.attention.document_mask import document_mask
from fedehr_shared.model.attention.layout import SequenceLayout
from fedehr_shared.model.encoder import EventEncoder
from fedehr_shared.model.stack import set_attention, set_checkpointing
from fedehr_shared.model.weights import draw_first_weights, load_parameters
from fedehr_shared.tokens.batch import MAX_VISITS, NUM_SEXES, EventBatch

CONFIG = ModelConfig(layers=3, hidden=16, heads=2)
NUM_TOKENS = 40
LENGTHS = st.lists(st.integers(1, 12), min_size=1, max_size=6)
SEEDS = st.integers(0, 999)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def _batch(seed: int, lengths: list[int]) -> EventBatch:
    generator = torch.Generator().manual_seed(seed)
    num = sum(lengths)
    boundaries = [0, *accumulate(lengths)]

    def whole(most: int) -> torch.Tensor:
        return torch.randint(0, most, (num,), generator=generator)

    hours = torch.rand(num, generator=generator) * 2_000
    ages = torch.rand(num, generator=generator)
    cu_seqlens = torch.tensor(boundaries)
    return EventBatch(
        whole(NUM_TOKENS), hours, ages, whole(MAX_VISITS), whole(NUM_SEXES), cu_seqlens, boundaries
    )


def _encoder(attention: str, checkpointing: bool = False) -> EventEncoder:
    encoder = EventEncoder(CONFIG, NUM_TOKENS)
    load_parameters(encoder, draw_first_weights(encoder, 1, "test"))
    set_attention(encoder, attention)
    set_checkpointing(encoder, checkpointing)
    return encoder


def _loss_and_gradients(
    encoder: EventEncoder, batch: EventBatch, seed: int
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(batch.boundaries[-1], CONFIG.hidden, generator=generator)
    loss = (encoder(batch) * weight).mean()
    loss.backward()
    gradients = {name: p.grad for name, p in encoder.named_parameters() if p.grad is not None}
    assert len(gradients) == len(list(encoder.parameters()))
    return loss.detach(), gradients


@settings(deadline=None, max_examples=30)
@given(lengths=LENGTHS, seed=SEEDS)
def test_attention_by_subject_is_the_padded_reference_in_loss_and_gradients(
    lengths: list[int], seed: int
) -> None:
    batch = _batch(seed, lengths)
    ours, reference = (
        _loss_and_gradients(_encoder(name), batch, seed) for name in ("sdpa", "padded")
    )
    torch.testing.assert_close(ours, reference, atol=1e-5, rtol=1e-5)


@settings(deadline=None, max_examples=20)
@given(lengths=st.lists(st.integers(1, 12), min_size=2, max_size=6), seed=SEEDS, data=st.data())
def test_one_subject_changes_no_bit_of_anyone_else(
    lengths: list[int], seed: int, data: st.DataObject
) -> None:
    who = data.draw(st.integers(0, len(lengths) - 1))
    batch, other = _batch(seed, lengths), _batch(seed + 1_000, lengths)
    mine = torch.zeros(sum(lengths), dtype=torch.bool)
    mine[batch.boundaries[who] : batch.boundaries[who + 1]] = True
    changed = replace(batch, **{
        name: torch.where(mine, getattr(other, name), getattr(batch, name))
        for name in ("tokens", "hours", "ages", "visits", "sexes")
    })  # fmt: skip
    encoder = _encoder("sdpa")
    with torch.no_grad():
        before, after = encoder(batch), encoder(changed)
    assert torch.equal(before[~mine], after[~mine])
    assert not torch.equal(before[mine], after[mine])


@settings(deadline=None, max_examples=15)
@given(lengths=LENGTHS, seed=SEEDS)
def test_checkpointing_changes_no_bit_of_the_gradients(lengths: list[int], seed: int) -> None:
    batch = _batch(seed, lengths)
    kept, again = (
        _loss_and_gradients(_encoder("sdpa", checkpointing), batch, seed)
        for checkpointing in (False, True)
    )
    assert torch.equal(kept[0], again[0])
    assert all(torch.equal(kept[1][name], again[1][name]) for name in kept[1])


def test_checkpointing_keeps_less() -> None:
    batch = _batch(0, [200, 100])
    kept: dict[bool, int] = {}
    for checkpointing in (False, True):
        encoder, sizes = _encoder("sdpa", checkpointing), []
        with torch.autograd.graph.saved_tensors_hooks(_noting(sizes), lambda x: x):
            encoder(batch)
        kept[checkpointing] = sum(sizes)
    assert kept[True] < kept[False] / 3


def _noting(sizes: list[int]) -> Callable[[torch.Tensor], torch.Tensor]:
    def note(x: torch.Tensor) -> torch.Tensor:
        sizes.append(x.numel())
        return x

    return note


@pytest.mark.parametrize("attention", ["sdpa", "padded"])
@settings(deadline=None, max_examples=10)
@given(lengths=LENGTHS, seed=SEEDS)
def test_bfloat16_is_near_float32(attention: str, lengths: list[int], seed: int) -> None:
    batch, encoder = _batch(seed, lengths), _encoder(attention)
    with torch.no_grad():
        exact = encoder(batch)
        with torch.autocast("cpu", torch.bfloat16):
            rough = encoder(batch)
    assert rough.isfinite().all()
    assert float((rough.float() - exact).norm() / exact.norm()) < 0.05


@settings(deadline=None, max_examples=30)
@given(lengths=st.lists(st.integers(1, 400), min_size=1, max_size=8))
def test_blocks_of_the_document_mask_are_those_found_from_all_pairs_of_tokens(
    lengths: list[int],
) -> None:
    layout = SequenceLayout.of(_batch(0, lengths))
    owners, num = layout.owners, layout.num_tokens
    ours = document_mask(layout, layout)
    theirs = create_block_mask(
        lambda batch, head, query, key: owners[query] == owners[key], None, None, num, num, "cpu"
    )
    assert ours.shape == theirs.shape
    for kind in ("kv", "full_kv", "q", "full_q"):
        counts, columns = getattr(ours, f"{kind}_num_blocks"), getattr(ours, f"{kind}_indices")
        assert torch.equal(counts, getattr(theirs, f"{kind}_num_blocks"))
        listed = torch.arange(columns.shape[-1]) < counts[..., None]
        assert torch.equal(columns[listed], getattr(theirs, f"{kind}_indices")[listed])
