"""Batches from page-locked memory arrive on a CUDA device as they were made."""

import pytest
import torch

from fedehr_client.training.labelled_batches import LabelledBatch
from fedehr_shared.tokens.batch import EventBatch
from fedehr_shared.tokens.masking import MaskedBatch
from fedehr_shared.tokens.visible import VisibleBatch

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def test_a_pinned_batch_is_the_same_on_the_device() -> None:
    size = 100_000
    batch = EventBatch(
        torch.randint(0, 9_000, (size,)), torch.rand(size), torch.rand(size),
        torch.randint(0, 8, (size,)), torch.randint(0, 4, (size,)),
        torch.tensor([0, 40, size]), [0, 40, size],
    )  # fmt: skip
    masked = MaskedBatch.of(batch, torch.arange(0, size, 3), batch.tokens[::3].clone())
    labelled = LabelledBatch(batch, torch.rand(2, 3), torch.tensor([2, 2, 2]))
    device = torch.device("cuda")
    for made in (masked, labelled):
        pinned = made.pinned()
        assert pinned.batch.tokens.is_pinned()
        moved = pinned.to(device)
        for name in ("tokens", "hours", "ages", "visits", "sexes", "cu_seqlens"):
            there = getattr(moved.batch, name)
            assert there.is_cuda
            assert torch.equal(there.cpu(), getattr(made.batch, name))
    assert torch.equal(masked.pinned().to(device).positions.cpu(), masked.positions)
    assert torch.equal(masked.pinned().to(device).targets.cpu(), masked.targets)
    assert torch.equal(labelled.pinned().to(device).labels.cpu(), labelled.labels)


def test_pieces_of_a_pinned_batch_are_pinned() -> None:
    batch = EventBatch(
        torch.arange(50), torch.rand(50), torch.rand(50), torch.arange(50) % 8,
        torch.arange(50) % 4, torch.tensor([0, 10, 30, 50]), [0, 10, 30, 50],
    )  # fmt: skip
    positions = torch.arange(1, 50, 3)
    visible = VisibleBatch.of(MaskedBatch.of(batch, positions, batch.tokens[positions]))
    pieces = visible.pinned().split(30)
    assert len(pieces) == 2
    for piece in pieces:
        for stream in (piece.batch, piece.masked.batch):
            assert stream.tokens.is_pinned()
            assert stream.cu_seqlens.is_pinned()
        assert piece.places.is_pinned()
        assert piece.masked.hidden.index.is_pinned()
        assert piece.masked.hidden.cu_seqlens.is_pinned()
        assert piece.masked.targets.is_pinned()
