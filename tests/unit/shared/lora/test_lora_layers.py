"""Adapted layers: names, first values, and outputs on every path that a plain layer has."""

from typing import Any

import numpy as np
import pytest
import torch
from lora_models import KINDS, NUM_TOKENS, make_batch, make_model, make_study
from torch._dynamo.utils import counters
from torch.nn.attention.flex_attention import flex_attention

from fedehr_shared.errors import WireError
from fedehr_shared.model.attention import flex
from fedehr_shared.model.finetuning_model import FinetuningModel
from fedehr_shared.model.lora.merging import merged, without_adapters
from fedehr_shared.model.lora.vera_projections import VeraProjections
from fedehr_shared.model.stack import set_attention, set_checkpointing
from fedehr_shared.model.tuning.plan import is_adapter
from fedehr_shared.model.weights import draw_first_weights, load_parameters, parameters_of
from fedehr_shared.tokens.batch import EventBatch
from fedehr_shared.tokens.places import Places


def _gradients(model: FinetuningModel, batch: EventBatch) -> dict[str, torch.Tensor]:
    model.zero_grad(set_to_none=True)
    model(batch).square().sum().backward()
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("kind", KINDS)
def test_adapters_leave_the_names_and_the_draw_of_everything_else(kind: str) -> None:
    plain = draw_first_weights(FinetuningModel(make_study(None), NUM_TOKENS), 7)
    adapted = draw_first_weights(FinetuningModel(make_study(KINDS[kind]), NUM_TOKENS), 7)
    assert {name for name in adapted if not is_adapter(name)} == set(plain)
    assert all(np.array_equal(adapted[name], value) for name, value in plain.items())


@pytest.mark.parametrize("kind", KINDS)
def test_fresh_adapters_change_no_bit_of_the_outputs(kind: str) -> None:
    adapted, plain = make_model(make_study(KINDS[kind]), trained=False), make_study(None)
    base = make_model(plain)
    load_parameters(base, {n: v for n, v in parameters_of(adapted).items() if not is_adapter(n)})
    assert torch.equal(adapted(make_batch()), base(make_batch()))


def test_first_values_are_those_of_the_papers() -> None:
    study = make_study({"rank": 16})
    drawn = draw_first_weights(FinetuningModel(study, NUM_TOKENS), 1)
    firsts = [v for n, v in drawn.items() if ".lora_A." in n]
    assert all(not v.any() for n, v in drawn.items() if ".lora_B." in n)
    assert len({v.tobytes() for v in firsts}) == len(firsts) == 4
    values = np.concatenate([v.ravel() for v in firsts])
    # torch's own kaiming_uniform_(a=sqrt(5)), as the paper's program calls it.
    reference = torch.empty(4_096, 16)
    torch.nn.init.kaiming_uniform_(reference, a=5**0.5, generator=torch.manual_seed(0))
    assert np.abs(values).max() <= 0.25
    assert values.std() == pytest.approx(float(reference.std()), rel=0.05)
    vera = draw_first_weights(FinetuningModel(make_study(KINDS["vera"]), NUM_TOKENS), 1)
    assert all((v == np.float32(0.1)).all() for n, v in vera.items() if ".vera_d." in n)
    assert all(not v.any() for n, v in vera.items() if ".vera_b." in n)


@pytest.mark.parametrize("kind", KINDS)
def test_merged_weights_give_the_same_outputs(kind: str) -> None:
    study = make_study(KINDS[kind])
    model, batch = make_model(study), make_batch()
    plain = FinetuningModel(without_adapters(study), NUM_TOKENS).eval()
    weights = parameters_of(model)
    before = {name: value.copy() for name, value in weights.items()}
    load_parameters(plain, merged(weights, study))
    untouched = make_model(study, trained=False)
    assert (model(batch) - untouched(batch)).abs().max() > 0.01
    torch.testing.assert_close(plain(batch), model(batch), atol=2e-6, rtol=2e-5)
    assert all(np.array_equal(before[name], value) for name, value in weights.items())
    # `change` tells the same product as the merging adds.
    for name, module in model.named_modules():
        if hasattr(module, "change"):
            added = merged(weights, study)[f"{name}.weight"] - weights[f"{name}.weight"]
            np.testing.assert_allclose(added, module.change().detach().numpy(), atol=1e-5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("kind", ["lora", "vera"])
@pytest.mark.parametrize("backend", ["padded", "flex"])
@torch.no_grad()
def test_all_backends_agree(kind: str, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # As it is compiled it needs a GPU; this form of it computes the same.
    compiled = torch.compile(flex_attention, backend="eager", dynamic=True)
    monkeypatch.setattr(flex, "_compiled", lambda: compiled)
    model, batch = make_model(make_study(KINDS[kind])), make_batch()
    expected = model(batch)
    set_attention(model, backend)
    torch.testing.assert_close(model(batch), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", ["lora", "vera"])
def test_checkpointing_and_wanted_places_change_nothing(kind: str) -> None:
    model, batch = make_model(make_study(KINDS[kind])), make_batch()
    kept = _gradients(model, batch)
    set_checkpointing(model, True)
    again = _gradients(model, batch)
    assert kept.keys() == again.keys()
    assert all(torch.equal(kept[name], again[name]) for name in kept)
    places = Places.of(torch.tensor([1, 3, 4, 9]), batch)
    whole = model.encoder(batch)[places.index]
    torch.testing.assert_close(model.encoder(batch, places), whole, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("kind", ["lora", "vera"])
def test_autocast_computes_the_product_in_bf16(kind: str) -> None:
    model, batch = make_model(make_study(KINDS[kind])), make_batch()
    seen: list[torch.dtype] = []
    layer: Any = model.encoder.blocks[0]
    layer.q.register_forward_hook(lambda _module, _inputs, found: seen.append(found.dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = model(batch)
    assert seen == [torch.bfloat16]
    torch.testing.assert_close(low.float(), model(batch), atol=0.15, rtol=0.1)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("kind", ["lora", pytest.param("vera", marks=pytest.mark.long)])
def test_adapted_blocks_compile_once_for_all_lengths(kind: str) -> None:
    torch.compiler.reset()
    model = make_model(make_study({**KINDS[kind], "target_modules": ["q", "v"]}))
    batches = [make_batch((5, 6)), make_batch((3, 2, 8)), make_batch((40,))]
    expected = [_gradients(model, batch) for batch in batches]
    for block in model.encoder.blocks:
        block.compile(dynamic=True, backend="aot_eager")
    set_attention(model, "sdpa")
    num_graphs = []
    for batch, wanted in zip(batches, expected, strict=True):
        found = _gradients(model, batch)
        assert found.keys() == wanted.keys()
        for name, gradient in found.items():
            assert float((gradient - wanted[name]).norm()) <= 1e-4 * float(wanted[name].norm())
        num_graphs.append(counters["stats"]["unique_graphs"])
    torch.compiler.reset()
    assert num_graphs[0] == num_graphs[-1]


def test_projections_are_shared_move_with_the_model_and_are_no_parameters() -> None:
    model = make_model(make_study(KINDS["vera"]))
    found = {id(m) for m in model.modules() if isinstance(m, VeraProjections)}
    assert len(found) == 1
    assert not any("projections" in name for name in parameters_of(model))
    assert not any("projections" in name for name in model.state_dict())
    doubled = model.double()
    assert all(
        m.A.dtype == m.B.dtype == torch.float64
        for m in doubled.modules()
        if isinstance(m, VeraProjections)
    )
    assert len({id(m) for m in doubled.modules() if isinstance(m, VeraProjections)}) == 1


def test_projections_follow_the_studys_seed_alone() -> None:
    def first(seed: int) -> torch.Tensor:
        torch.manual_seed(seed + 40)
        model = FinetuningModel(make_study(KINDS["vera"], seed), NUM_TOKENS)
        return next(m for m in model.modules() if isinstance(m, VeraProjections)).A

    assert torch.equal(first(3), first(3))
    assert not torch.equal(first(3), first(4))
    # Columns decide the variance: 2 / 16 (He et al. 2015).
    wide = VeraProjections(512, 64, 128, 0)
    assert float(wide.A.var()) == pytest.approx(2 / 512, rel=0.05)
    assert float(wide.B.var()) == pytest.approx(2 / 128, rel=0.05)


def test_a_base_matrix_is_taken_over_and_not_copied() -> None:
    study = make_study(KINDS["lora"])
    model = make_model(study)
    names = [name for name, _ in model.named_parameters()]
    assert "encoder.blocks.0.q.weight" in names
    assert "encoder.blocks.1.down.lora_B.weight" in names
    sizes = {n: tuple(p.shape) for n, p in model.named_parameters()}
    assert sizes["encoder.blocks.1.down.lora_A.weight"][0] == 3
    assert (
        sizes["encoder.blocks.1.down.lora_A.weight"][1] == sizes["encoder.blocks.1.down.weight"][1]
    )


def test_merging_says_what_is_missing() -> None:
    study = make_study(KINDS["lora"])
    weights = parameters_of(make_model(study))
    del weights["encoder.blocks.1.up.lora_B.weight"]
    with pytest.raises(WireError, match=r"blocks\.1\.up\.lora_B"):
        merged(weights, study)
