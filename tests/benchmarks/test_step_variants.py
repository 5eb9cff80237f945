"""Every way of taking a step that the benchmark times takes one, on few short sequences."""

import math
from itertools import accumulate

import pytest
import torch
from step_variants import bert_variants, our_variants

from fedehr_shared.config.model import ModelConfig
from fedehr_shared.tokens.batch import EventBatch
from fedehr_shared.tokens.masking import MaskedBatch

SIZE = ModelConfig(layers=2, hidden=16, heads=2)
NUM_TOKENS, CONTEXT = 60, 16


def _masked() -> MaskedBatch:
    lengths = [5, 12, 9]
    boundaries, num = [0, *accumulate(lengths)], sum(lengths)
    batch = EventBatch(
        torch.arange(num) % 50 + 4, torch.arange(num) * 1.0, torch.rand(num),
        torch.arange(num) % 8, torch.arange(num) % 4, torch.tensor(boundaries), boundaries,
    )  # fmt: skip
    positions = torch.tensor([1, 7, 8, 20])
    return MaskedBatch.of(batch, positions, torch.tensor([11, 12, 13, 14]))


def test_all_of_ours_take_a_step_and_those_without_padding_have_one_loss() -> None:
    torch.manual_seed(0)
    variants, masked = our_variants(SIZE, NUM_TOKENS, CONTEXT), _masked()
    with torch.no_grad():
        losses = {
            name: float(variant.loss(variant.prepare(masked))) for name, variant in variants.items()
        }
    fp32 = {n: x for n, x in losses.items() if n not in {"ours_as_it_comes", "ours_padded",
                                                         "ours_padded_dense_head"}}  # fmt: skip
    assert max(fp32.values()) - min(fp32.values()) < 1e-5
    assert losses["ours_padded"] == pytest.approx(losses["ours_padded_dense_head"], rel=1e-5)
    for variant in variants.values():
        assert math.isfinite(variant.step(variant.prepare(masked)))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_all_of_berts_take_a_step() -> None:
    pytest.importorskip("transformers", reason="the extra 'benchmarks' is not installed")
    masked = _masked()
    for variant in bert_variants(SIZE, NUM_TOKENS, CONTEXT).values():
        assert math.isfinite(variant.step(variant.prepare(masked)))
