"""One pre-training step beside transformers' padded BERT: real events a CPU-second, one thread.

Forward, backward and fused AdamW at base size, the same subjects and the same hidden positions
for all, interleaved in one process, medians of five rounds. `[START]` and padding are not events.
Equal-work rows stand beside: a dense head on both, a sparse head on both, and our own encoder
padded, so that what padding, head, dropout and precision cost is told apart. All are in fp32 but
where a name says otherwise: "as it comes" is each side's default, which for ours is bf16 on a
processor with units for it.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from bert import IGNORED, PaddedBatch
from corpus import NUM_TOKENS, Corpus
from step_flops import FORMULA, StepFlops
from step_variants import StepVariant, bert_variants, our_variants
from torch.utils.flop_counter import FlopCounterMode

from fedehr_client.compute.precision import choose_precision
from fedehr_shared.config.masking import MaskingConfig
from fedehr_shared.config.model import ModelConfig
from fedehr_shared.tokens.masking import MaskedBatch

pytestmark = pytest.mark.benchmark

SIZE = ModelConfig.model_validate({"size": "base"})
NUM_ROUNDS = 5
SGEMM_SIZE = 2_048
RATIOS = {
    "to_bert": ("ours", "bert_to_context"),
    "to_bert_longest": ("ours", "bert_to_longest"),
    "to_bert_default": ("ours", "bert_default_to_context"),
    "as_it_comes_to_bert_default": ("ours_as_it_comes", "bert_default_to_context"),
    "to_bert_default_both_own_precision": ("ours_as_it_comes", "bert_default_own_precision"),
    "to_bert_default_longest": ("ours", "bert_default_to_longest"),
    "to_bert_both_dense_head": ("ours_dense_head", "bert_to_context"),
    "to_bert_both_sparse_head": ("ours_whole_layers", "bert_sparse_head"),
    "to_ours_padded": ("ours", "ours_padded"),
    "to_ours_padded_both_dense_head": ("ours_dense_head", "ours_padded_dense_head"),
    "to_ours_padded_attention": ("ours", "ours_padded_attention"),
    "of_last_layer": ("ours", "ours_whole_layers"),
    "of_sparse_head": ("ours_whole_layers", "ours_dense_head"),
    "of_own_precision": ("ours_as_it_comes", "ours"),
    "of_dropout_off": ("bert_to_context", "bert_default_to_context"),
}
"""Each is how many times as many events a second the first takes as the second."""


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@dataclass(frozen=True)
class Setting:
    """What is timed at one context, and the bars of the ratios."""

    context: int
    num_subjects: int
    left_out: frozenset[str]
    bars: dict[str, float]


SHORT = Setting(
    512, 8, frozenset({"bert_default_to_longest"}),
    {"to_bert": 4.0, "as_it_comes_to_bert_default": 8.0},
)  # fmt: skip
# A padded step of BERT takes 20 CPU-seconds at this context, so that few subjects are timed.
LONG = Setting(
    2_048, 3,
    frozenset({"ours_padded", "ours_padded_dense_head", "bert_default_own_precision"}),
    {"to_bert": 10.0, "as_it_comes_to_bert_default": 20.0},
)  # fmt: skip
LEAST_SHARE_OF_SGEMM = 0.6


def test_steps_beside_bert(
    corpus: Corpus, record_figures: Callable[[str, dict[str, Any]], Path]
) -> None:
    figures: dict[str, Any] = {"flop_formula": FORMULA, "rounds": NUM_ROUNDS}
    for setting in (SHORT, LONG):
        found = _measure(corpus, setting)
        figures |= {f"context_{setting.context}_{key}": value for key, value in found.items()}
    record_figures("step", figures)
    missed = {
        f"{key} at {setting.context}": (figures[f"context_{setting.context}_{key}"], bar)
        for setting in (SHORT, LONG)
        for key, bar in (*setting.bars.items(), ("share_of_sgemm", LEAST_SHARE_OF_SGEMM))
        if figures[f"context_{setting.context}_{key}"] < bar
    }
    assert not missed


def _measure(corpus: Corpus, setting: Setting) -> dict[str, Any]:
    rows = corpus.typical_rows(setting.num_subjects, setting.context)
    variants = {
        name: variant
        for name, variant in (
            our_variants(SIZE, NUM_TOKENS, setting.context)
            | bert_variants(SIZE, NUM_TOKENS, setting.context)
        ).items()
        if name not in setting.left_out
    }
    first = corpus.masked_batch(rows, setting.context, MaskingConfig(), 0)
    _check_equal_work(variants, first, setting.context)
    alone = corpus.masked_batch(rows[:1], setting.context, MaskingConfig(), 0)
    for variant in variants.values():  # first calls choose kernels and take memory
        variant.step(variant.prepare(alone))
    rounds = [
        _time_round(
            variants, corpus.masked_batch(rows, setting.context, MaskingConfig(), number), number
        )
        for number in range(1, NUM_ROUNDS + 1)
    ]
    num_events = int(corpus.num_events(setting.context)[rows].sum())
    precision = choose_precision("auto", torch.device("cpu"))
    return (
        {"own_precision": precision} | _facts(corpus, setting, first) | _summary(rounds, num_events)
    )


def _time_round(
    variants: dict[str, StepVariant], masked: MaskedBatch, number: int
) -> dict[str, float]:
    """CPU seconds of a step of each; and the same batch's operations, ours and sgemm's rates."""
    names = list(variants)[:: 1 if number % 2 else -1]
    seconds = {}
    for name in names:
        prepared = variants[name].prepare(masked)
        begin = time.process_time()
        variants[name].step(prepared)
        seconds[name] = time.process_time() - begin
        if name == "ours":
            sgemm = _sgemm_rate()
    flops = StepFlops.of(SIZE, NUM_TOKENS, masked.batch.boundaries, masked.hidden.boundaries)
    return seconds | {"sgemm_rate": sgemm, "our_rate": flops.total / seconds["ours"]}


def _sgemm_rate() -> float:
    """FLOP a CPU-second of a product of two matrices of 2,048 rows and columns: mean of four."""
    left, right = torch.randn(2, SGEMM_SIZE, SGEMM_SIZE).unbind()
    out = torch.empty_like(left)
    begin = time.process_time()
    for _ in range(4):
        torch.mm(left, right, out=out)
    return 4 * 2 * SGEMM_SIZE**3 / (time.process_time() - begin)


def _summary(rounds: list[dict[str, float]], num_events: int) -> dict[str, Any]:
    """Medians of the rounds; ratios and shares are taken within a round."""

    def median(of: Callable[[dict[str, float]], float]) -> float:
        return statistics.median(map(of, rounds))

    names = [name for name in rounds[0] if not name.endswith("_rate")]
    rates = {
        f"{name}_events_a_cpu_second": median(lambda r, name=name: num_events / r[name])
        for name in names
    }
    ratios = {
        key: median(lambda r, pair=pair: r[pair[1]] / r[pair[0]])
        for key, pair in RATIOS.items()
        if set(pair) <= set(names)
    }
    return rates | ratios | {
        "sgemm_gflops": median(lambda r: r["sgemm_rate"]) / 1e9,
        "our_gflops": median(lambda r: r["our_rate"]) / 1e9,
        "share_of_sgemm": median(lambda r: r["our_rate"] / r["sgemm_rate"]),
    }  # fmt: skip


def _facts(corpus: Corpus, setting: Setting, masked: MaskedBatch) -> dict[str, Any]:
    """What is timed: how well the few subjects stand for the corpus, and what a step costs."""
    rows = corpus.typical_rows(setting.num_subjects, setting.context)
    lengths = corpus.num_events(setting.context)
    flops = StepFlops.of(SIZE, NUM_TOKENS, masked.batch.boundaries, masked.hidden.boundaries)
    num_events = int(lengths[rows].sum())
    return {
        "lengths": lengths[rows].tolist(),
        "events": num_events,
        "hidden": masked.positions.numel(),
        "fill": float(lengths[rows].mean() / setting.context),
        "fill_of_corpus": float(lengths.mean() / setting.context),
        "linear_mflop_an_event": flops.linear / num_events / 1e6,
        "attention_mflop_an_event": flops.attention / num_events / 1e6,
        "head_mflop_an_event": flops.head / num_events / 1e6,
    }


def _check_equal_work(variants: dict[str, StepVariant], masked: MaskedBatch, context: int) -> None:
    """All take the same subjects and hidden positions; our ways without padding give one loss."""
    for name in ("ours", "bert_to_context", "bert_to_longest"):
        prepared = variants[name].prepare(masked)
        if isinstance(prepared, PaddedBatch):
            hidden = prepared.labels != IGNORED
            assert torch.equal(prepared.labels[hidden], masked.targets)
            assert int(prepared.attention_mask.sum()) == masked.batch.tokens.numel()
            assert name != "bert_to_context" or hidden.shape[1] == context
    with torch.no_grad():
        losses = [
            float(variants[name].loss(masked))
            for name in ("ours", "ours_whole_layers", "ours_dense_head", "ours_padded_attention")
        ]
    assert max(losses) - min(losses) < 1e-4
    model: Any = variants["ours"].model
    weights = sum(p.numel() for p in model.encoder.blocks.parameters() if p.dim() == 2)
    boundaries = masked.batch.boundaries
    all_hidden = StepFlops.of(SIZE, NUM_TOKENS, boundaries, boundaries)
    assert all_hidden.linear == 6.0 * masked.batch.tokens.numel() * weights
    flops = StepFlops.of(SIZE, NUM_TOKENS, boundaries, masked.hidden.boundaries)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        variants["ours"].loss(masked)
    products = counter.get_flop_counts()["Global"]
    counted = sum(num for name, num in products.items() if "mm" in str(name))
    assert 3 * counted == pytest.approx(flops.linear + flops.head, rel=1e-3)
