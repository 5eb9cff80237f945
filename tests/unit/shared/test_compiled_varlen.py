"""Compiled layers around `varlen` attention: what a GPU would run, with kernels for the CPU.

FlashAttention has none for it, so that these stand in: slow, and taught nothing of torch.compile.
"""

from collections.abc import Iterator
from itertools import accumulate, pairwise
from typing import Any

import pytest
import torch
from torch.nn.attention import varlen

from fedehr_shared.config.model import ModelConfig
from fedehr_shared.config.objective import ObjectiveConfig
from fedehr_shared.model.block import EncoderBlock
from fedehr_shared.model.pretraining_model import PretrainingModel
from fedehr_shared.model.stack import set_attention, set_checkpointing
from fedehr_shared.tokens.batch import EventBatch
from fedehr_shared.tokens.masking import MaskedBatch
from fedehr_shared.tokens.visible import VisibleBatch

CONFIG = ModelConfig(layers=3, hidden=32, heads=2)
NUM_TOKENS = 50
LENGTHS = ([4, 9, 3, 6], [30], [2, 3, 50, 3], [7, 7, 7, 7, 7], [300, 40], [5] * 40, [9] * 23)


def _forward(query: Any, key: Any, value: Any, asking: Any, asked: Any, *rest: Any) -> Any:
    mixed = torch.zeros_like(query)
    for q, k in _sequences(asking, asked):
        chances, _, _ = _chances(query[q], key[k])
        mixed[q] = (chances @ value[k].float().transpose(0, 1)).transpose(0, 1).to(mixed.dtype)
    return (
        mixed,
        query.new_zeros(query.shape[1::-1], dtype=torch.float),
        torch.zeros(2).to(torch.uint64),
    )


def _backward(grad: Any, query: Any, key: Any, value: Any, *rest: Any) -> Any:
    asking, asked = rest[2:4]
    grads = tuple(torch.zeros_like(x) for x in (query, key, value))
    for q, k in _sequences(asking, asked):
        chances, left, right = _chances(query[q], key[k])
        above = grad[q].float().transpose(0, 1)
        moved = above @ value[k].float().transpose(0, 1).mT
        scores = chances * (moved - (chances * moved).sum(-1, keepdim=True))
        scale = query.shape[-1] ** -0.5
        found = (scores @ right * scale, scores.mT @ left * scale, chances.mT @ above)
        for whole, rows, part in zip(grads, (q, k, k), found, strict=True):
            whole[rows] = part.transpose(0, 1).to(whole.dtype)
    return grads


def _sequences(asking: torch.Tensor, asked: torch.Tensor) -> Iterator[tuple[slice, slice]]:
    both = zip(pairwise(asking.tolist()), pairwise(asked.tolist()), strict=True)
    return (tuple(slice(*ends) for ends in one) for one in both)  # type: ignore[misc]


def _chances(query: torch.Tensor, key: torch.Tensor) -> tuple[torch.Tensor, ...]:
    left, right = query.float().transpose(0, 1), key.float().transpose(0, 1)
    return torch.softmax(left @ right.mT * query.shape[-1] ** -0.5, -1), left, right


@pytest.fixture(autouse=True)
def _kernels() -> Iterator[None]:
    torch.set_num_threads(1)
    varlen._varlen_attn.register_kernel("cpu", _forward)
    varlen._varlen_attn_backward.register_kernel("cpu", _backward)
    torch.compiler.reset()
    torch._dynamo.utils.counters.clear()
    yield
    torch.compiler.reset()


def _masked(lengths: list[int]) -> MaskedBatch:
    generator = torch.Generator().manual_seed(len(lengths))
    num, boundaries = sum(lengths), [0, *accumulate(lengths)]

    def whole(most: int) -> torch.Tensor:
        return torch.randint(0, most, (num,), generator=generator)

    hours = torch.rand(num, generator=generator) * 900
    places = torch.tensor(boundaries)
    batch = EventBatch(
        whole(NUM_TOKENS), hours, hours / 900, whole(8), whole(4), places, boundaries
    )
    # Subjects of which nothing is hidden, and of which more than one event is.
    positions = torch.arange(1, num, 4)
    return MaskedBatch.of(batch, positions, batch.tokens[positions])


def _gradients(model: PretrainingModel, piece: Any, precision: Any) -> torch.Tensor:
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        loss = model(piece)
    loss.backward()
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize(
    ("kind", "checkpointing"),
    [("masked_events", False), ("masked_events", True), ("masked_autoencoder", False)],
)
def test_batches_of_any_shape_share_their_compiled_layers(kind: Any, checkpointing: bool) -> None:
    torch.manual_seed(0)
    objective = ObjectiveConfig(kind=kind)
    reference = PretrainingModel(CONFIG, objective, NUM_TOKENS)
    model = PretrainingModel(CONFIG, objective, NUM_TOKENS)
    model.load_state_dict(reference.state_dict())
    set_attention(reference, "padded")
    for module in model.modules():
        if isinstance(module, EncoderBlock):
            module.compile(dynamic=True, backend="aot_eager")
    set_attention(model, "varlen")
    set_checkpointing(model, checkpointing)
    for lengths in LENGTHS:
        masked = _masked(lengths)
        piece = VisibleBatch.of(masked) if kind == "masked_autoencoder" else masked
        expected = _gradients(reference, piece, "fp32")
        found = _gradients(model, piece, "bf16")
        assert float((found - expected).norm() / expected.norm()) < 0.1
    counters = torch._dynamo.utils.counters
    assert not counters["graph_break"]
    # One for layers of all tokens, one for the last layer.
    assert counters["stats"]["unique_graphs"] == 2
