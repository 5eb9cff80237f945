"""Attention backends on a CUDA device, through whole encoders, against the padded reference."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from itertools import accumulate

import pytest
import torch

from fedehr_shared.config.model import SIZES, ModelConfig
from fedehr_shared.model.attention.backends import available
from fedehr_shared.model.encoder import EventEncoder
from fedehr_shared.model.stack import compile_blocks, set_attention, set_checkpointing
from fedehr_shared.model.weights import draw_first_weights, load_parameters
from fedehr_shared.tokens.batch import MAX_VISITS, NUM_SEXES, EventBatch
from fedehr_shared.tokens.places import Places

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning"),
]

CONFIG = ModelConfig(layers=3, hidden=128, heads=2)
NUM_TOKENS = 200
SCALE = 1_024.0
"""Of the loss, lest small gradients vanish in fp16."""
LENGTHS = [1, 300, 17, 128, 1, 512, 63]
DTYPES = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
CHOICES = [
    (name, precision)
    for name in ("sdpa", "varlen", "flex", "padded")
    for precision in DTYPES
    if (name, precision) != ("varlen", "fp32")
]


@pytest.fixture(autouse=True)
def _bounds() -> Iterator[None]:
    """Products of float32 in float32, and compiled code of earlier tests forgotten."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    torch.compiler.reset()
    yield
    torch.set_float32_matmul_precision(before)


def _batch(lengths: list[int], seed: int = 0) -> EventBatch:
    generator = torch.Generator().manual_seed(seed)
    num = sum(lengths)

    def whole(most: int) -> torch.Tensor:
        return torch.randint(0, most, (num,), generator=generator)

    hours = torch.rand(num, generator=generator) * 2_000
    ages = torch.rand(num, generator=generator)
    boundaries = [0, *accumulate(lengths)]
    places = torch.tensor(boundaries)
    tokens, visits, sexes = whole(NUM_TOKENS), whole(MAX_VISITS), whole(NUM_SEXES)
    batch = EventBatch(tokens, hours, ages, visits, sexes, places, boundaries)
    return batch.to(torch.device("cuda"))


def _encoder(attention: str) -> EventEncoder:
    encoder = EventEncoder(CONFIG, NUM_TOKENS)
    load_parameters(encoder, draw_first_weights(encoder, 1, "test"))
    set_attention(encoder, attention)
    return encoder.cuda()


def _autocast(precision: str) -> AbstractContextManager[object]:
    dtype = DTYPES[precision]
    return nullcontext() if dtype is None else torch.autocast("cuda", dtype)


def _loss_and_gradients(
    encoder: EventEncoder, batch: EventBatch, precision: str, places: Places | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    num = (places or batch).boundaries[-1]
    weight = torch.randn(num, CONFIG.hidden, generator=generator).cuda()
    encoder.zero_grad()
    with _autocast(precision):
        encoded = encoder(batch, places)
    loss = (encoded.float() * weight).mean()
    (loss * SCALE).backward()
    gradients = [p.grad.flatten() for p in encoder.parameters() if p.grad is not None]
    return loss.detach(), torch.cat(gradients) / SCALE


def _assert_near(
    ours: tuple[torch.Tensor, torch.Tensor],
    reference: tuple[torch.Tensor, torch.Tensor],
    precision: str,
) -> None:
    if precision == "fp32":
        torch.testing.assert_close(ours, reference, atol=1e-5, rtol=1e-5)
        return
    assert ours[1].isfinite().all()
    assert float((ours[1] - reference[1]).norm() / reference[1].norm()) < 0.05


@pytest.mark.parametrize(("name", "precision"), CHOICES)
def test_every_backend_is_the_padded_reference_in_loss_and_gradients(
    name: str, precision: str
) -> None:
    reason = available(name, "cuda", precision, CONFIG.hidden // CONFIG.heads)
    if reason:
        pytest.skip(reason)
    for lengths in (LENGTHS, [1], [40, 1_000], [1, 1, 1]):
        batch = _batch(lengths)
        ours = _loss_and_gradients(_encoder(name), batch, precision)
        reference = _loss_and_gradients(_encoder("padded"), batch, "fp32")
        _assert_near(ours, reference, precision)


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize(("name", "precision"), CHOICES)
def test_compiled_layers_are_the_padded_reference(
    name: str, precision: str, checkpointing: bool
) -> None:
    reason = available(name, "cuda", precision, CONFIG.hidden // CONFIG.heads)
    if reason:
        pytest.skip(reason)
    encoder = _encoder(name)
    compile_blocks(encoder)
    set_checkpointing(encoder, checkpointing)
    torch._dynamo.utils.counters.clear()
    for lengths in (LENGTHS, [40, 1_000], [3, 700, 700], [90]):
        batch = _batch(lengths)
        reference = _loss_and_gradients(_encoder("padded"), batch, "fp32")
        _assert_near(_loss_and_gradients(encoder, batch, precision), reference, precision)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] <= 4


def _places(batch: EventBatch, index: list[int]) -> Places:
    device = torch.device("cuda")
    found = Places.of(torch.tensor(index), replace(batch, cu_seqlens=batch.cu_seqlens.cpu()))
    return found.to(device)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(("name", "precision"), CHOICES)
def test_wanted_places_alone_are_the_padded_reference(
    name: str, precision: str, compiled: bool
) -> None:
    """Of some subjects nothing is wanted, of some all: kernels meet queries of length 0."""
    reason = available(name, "cuda", precision, CONFIG.hidden // CONFIG.heads)
    if reason:
        pytest.skip(reason)
    encoder = _encoder(name)
    if compiled:
        compile_blocks(encoder)
    batch = _batch(LENGTHS)
    second = list(range(batch.boundaries[1], batch.boundaries[2]))
    for index in ([*second, 320, batch.boundaries[-1] - 1], [0], [batch.boundaries[5] + 1]):
        places = _places(batch, index)
        ours = _loss_and_gradients(encoder, batch, precision, places)
        _assert_near(
            ours, _loss_and_gradients(_encoder("padded"), batch, "fp32", places), precision
        )


@pytest.mark.parametrize(("name", "precision"), CHOICES)
def test_one_subject_changes_no_bit_of_anyone_else(name: str, precision: str) -> None:
    reason = available(name, "cuda", precision, CONFIG.hidden // CONFIG.heads)
    if reason:
        pytest.skip(reason)
    batch, other, encoder = _batch(LENGTHS), _batch(LENGTHS, 1), _encoder(name)
    mine = torch.zeros(sum(LENGTHS), dtype=torch.bool, device="cuda")
    mine[batch.boundaries[1] : batch.boundaries[2]] = True
    changed = replace(batch, **{
        field: torch.where(mine, getattr(other, field), getattr(batch, field))
        for field in ("tokens", "hours", "ages", "visits", "sexes")
    })  # fmt: skip
    with torch.no_grad(), _autocast(precision):
        before, after = encoder(batch), encoder(changed)
    assert torch.equal(before[~mine], after[~mine])
    assert not torch.equal(before[mine], after[mine])


@pytest.mark.parametrize("name", ["sdpa", "varlen", "flex", "padded"])
def test_deterministic_algorithms_give_the_same_gradients_again(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reason = available(name, "cuda", "bf16", CONFIG.hidden // CONFIG.heads)
    if reason:
        pytest.skip(reason)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    batch = _batch(LENGTHS * 5)
    torch.use_deterministic_algorithms(True)
    try:
        one, again = (_loss_and_gradients(_encoder(name), batch, "bf16") for _ in range(2))
    finally:
        torch.use_deterministic_algorithms(False)
    assert torch.equal(one[0], again[0])
    assert torch.equal(one[1], again[1])


@pytest.mark.parametrize("size", SIZES)
def test_varlen_attention_takes_the_heads_of_every_named_size(size: str) -> None:
    config = ModelConfig(**SIZES[size]._asdict())
    reason = available("varlen", "cuda", "bf16", config.hidden // config.heads)
    if reason:
        pytest.skip(reason)
    encoder = EventEncoder(config, NUM_TOKENS).cuda()
    set_attention(encoder, "varlen")
    with torch.autocast("cuda", torch.bfloat16):
        encoded = encoder(_batch(LENGTHS))
    encoded.float().square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in encoder.parameters())
