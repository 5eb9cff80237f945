"""Masked batches out of the token store, beside a padded collator in the Hugging Face manner.

Events a CPU-second, one thread, variants interleaved, medians of 7 rounds, over `corpus.py`.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from corpus import NUM_SUBJECTS, NUM_TOKENS, Corpus
from torch.nn.utils.rnn import pad_sequence

from fedehr_client.compute.compute import Compute
from fedehr_client.training import loop
from fedehr_client.training.batches import PretrainingBatches, PretrainingData
from fedehr_client.training.loop import RoundContext
from fedehr_client.training.prefetch import prefetch
from fedehr_client.training.pretraining import pretrain_round
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.model.pretraining_model import PretrainingModel
from fedehr_shared.model.weights import draw_first_weights
from fedehr_shared.tokens.batch import MAX_VISITS
from fedehr_shared.tokens.store import HOURS_PER_YEAR, TokenStore
from fedehr_shared.vocabulary.vocabulary import MASK, PAD, START

pytestmark = pytest.mark.benchmark

CONTEXT, BATCH = 512, 256
NUM_ROUNDS, BATCHES_A_ROUND = 7, 8
PLAIN = {"hide_copies": False, "whole_visit_share": 0.0}
FULL = {"hide_copies": True, "whole_visit_share": 0.2}
IGNORED = -100
DAY_US = 86_400_000_000


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def data(corpus: Corpus) -> PretrainingData:
    """What a site would train on."""
    return PretrainingData(corpus.store, corpus.rows, corpus.code_of_token, corpus.is_maskable)


def _study(masking: dict[str, Any], **sections: Any) -> StudyConfig:
    values: dict[str, Any] = {
        "name": "bench",
        "sequence": {"context": CONTEXT},
        "masking": masking,
        "pretraining": {"steps_per_epoch": NUM_SUBJECTS // BATCH},
        "finetuning": {"tasks": ["death"]},
    }
    return StudyConfig.model_validate({**values, **sections})


@dataclass(frozen=True)
class PaddedCollator:
    """What one writes with a Hugging Face collator: lists of features, padded, then masked."""

    data: PretrainingData
    features: list[dict[str, Any]]
    full: bool

    def __call__(self, step: int) -> tuple[int, int]:
        """One batch; the numbers of its events and of the hidden ones."""
        chosen = np.random.default_rng(step).integers(0, len(self.features), BATCH)
        rows = [self.features[row] for row in chosen.tolist()]
        columns = {
            name: pad_sequence([torch.tensor(row[name]) for row in rows], batch_first=True)
            for name in ("tokens", "hours", "ages", "visits")
        }
        tokens = columns["tokens"]
        special = tokens < 4
        hidden, fates = self._full(rows, tokens, special) if self.full else _plain(special)
        labels = torch.where(hidden, tokens, IGNORED)
        masked = hidden & (fates < 0.8)
        swapped = hidden & (fates >= 0.8) & (fates < 0.9)
        tokens = tokens.masked_fill(masked, MASK)
        tokens = torch.where(swapped, torch.randint(4, NUM_TOKENS, tokens.shape), tokens)
        assert tokens.shape == labels.shape == columns["hours"].shape
        return int((~special).sum()), int((labels != IGNORED).sum())

    def _full(
        self, rows: list[dict[str, Any]], tokens: torch.Tensor, special: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Groups of a code in a visit by `torch.unique`, whole visits row by row."""
        visits = pad_sequence([torch.tensor(row["episodes"]) for row in rows], batch_first=True)
        codes = torch.from_numpy(self.data.code_of_token)[tokens]
        row_numbers = torch.arange(len(rows))[:, None].expand_as(tokens)
        keys = (row_numbers * 100_000 + visits + 50_000) * NUM_TOKENS + codes
        groups, group_of = torch.unique(keys, return_inverse=True)
        whole, free = torch.zeros_like(special), ~special
        for row in torch.nonzero(torch.rand(len(rows)) < 0.2)[:, 0].tolist():
            events = torch.nonzero(~special[row])[:, 0]
            place = events[torch.randint(0, len(events), (1,))]
            visit = (visits[row] == visits[row, place]) & ~special[row]
            if 2 * int(visit.sum()) <= len(events):
                whole[row] = visit
                free[row] = False
        wanted = 0.3 * int((~special).sum()) - int(whole.sum())
        chance = max(0.0, wanted / max(1, int(free.sum())))
        by_groups = torch.bernoulli(torch.full((groups.numel(),), chance)).bool()[group_of]
        return whole | (by_groups & free), torch.rand(groups.numel())[group_of]


def _plain(special: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    chances = torch.full(special.shape, 0.3).masked_fill(special, 0.0)
    return torch.bernoulli(chances).bool(), torch.rand(special.shape)


def _features(store: TokenStore) -> list[dict[str, Any]]:
    """Lists of numbers a subject, cut to the context beforehand."""
    features = []
    for row in range(store.num_subjects):
        begin, end = int(store.offsets[row]), int(store.offsets[row + 1])
        inside = slice(max(begin, end - CONTEXT + 1), end)
        hours, visits = store.hours[inside], store.visits[inside]
        days = store.times[inside] // DAY_US
        ages = (store.first_ages[row] + hours / HOURS_PER_YEAR) / 100
        features.append({
            "tokens": [START, *store.tokens[inside].tolist()],
            "hours": [0.0, *(hours - hours[0]).tolist()],
            "ages": [0.0, *ages.tolist()],
            "visits": [0, *np.minimum(visits, MAX_VISITS - 1).tolist()],
            "episodes": [0, *np.where(visits > 0, visits, days[0] - days - 1).tolist()],
        })  # fmt: skip
    assert PAD == 0
    return features


def _ours(data: PretrainingData, masking: dict[str, Any]) -> Callable[[int], tuple[int, int]]:
    batches = PretrainingBatches(_study(masking), "site", data)

    def batch(step: int) -> tuple[int, int]:
        masked = batches(step)
        return (
            masked.batch.tokens.numel() - masked.batch.num_sequences,
            masked.positions.numel(),
        )

    return batch


def test_masked_batches_a_cpu_second(
    data: PretrainingData, record_figures: Callable[[str, dict[str, Any]], Path]
) -> None:
    features = _features(data.store)
    makers = {
        "plain": _ours(data, PLAIN),
        "full": _ours(data, FULL),
        "padded_plain": PaddedCollator(data, features, full=False),
        "padded_full": PaddedCollator(data, features, full=True),
    }
    rates: dict[str, list[float]] = {name: [] for name in makers}
    shares: dict[str, list[float]] = {name: [] for name in makers}
    for round_number in range(NUM_ROUNDS + 1):
        for name, make in makers.items():
            steps = range(round_number * BATCHES_A_ROUND, (round_number + 1) * BATCHES_A_ROUND)
            begin = time.process_time()
            counts = [make(step) for step in steps]
            seconds = time.process_time() - begin
            num_events = sum(num for num, _ in counts)
            shares[name].append(sum(num for _, num in counts) / num_events)
            if round_number:  # the first warms caches
                rates[name].append(num_events / seconds / 1e6)
    medians = {name: statistics.median(found) for name, found in rates.items()}
    figures = {f"{name}_million_events_a_cpu_second": rate for name, rate in medians.items()}
    figures |= {
        "plain_to_padded": medians["plain"] / medians["padded_plain"],
        "full_to_padded": medians["full"] / medians["padded_full"],
    }
    figures |= {f"{name}_hidden_share": float(np.mean(share)) for name, share in shares.items()}
    record_figures("loader", figures)
    assert all(abs(np.mean(share) - 0.3) < 0.01 for share in shares.values())
    assert medians["plain"] >= 20
    assert medians["full"] >= 8
    assert figures["plain_to_padded"] >= 15
    assert figures["full_to_padded"] >= 15


class Stopwatch:
    """`prefetch`, with the time that the trainer waits for it."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self, make: Callable[[int], Any], steps: range) -> Iterator[Any]:
        with closing(prefetch(make, steps)) as batches:
            for _ in steps:
                begin = time.perf_counter()
                batch = next(batches)
                self.seconds += time.perf_counter() - begin
                yield batch
            assert next(batches, None) is None


SIZES = {"tiny": (2, 64, 2), "small": (4, 128, 4), "base": (6, 256, 4)}


def test_training_does_not_wait(
    data: PretrainingData,
    record_figures: Callable[[str, dict[str, Any]], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whole rounds of real training: from asking for the first batch to the last step."""
    figures = {}
    few = replace(data, rows=data.rows[:512])
    for name, (layers, hidden, heads) in SIZES.items():
        shares = []
        for _ in range(5 if name != "base" else 3):
            study = _study(
                FULL,
                model={"layers": layers, "hidden": hidden, "heads": heads},
                pretraining={"rounds": 1, "steps_per_round": 4, "steps_per_epoch": 32},
            )
            weights = draw_first_weights(
                PretrainingModel(study.model, study.objective, NUM_TOKENS), 1
            )
            context = RoundContext(
                study, "site", 1, NUM_TOKENS, weights, None, Compute(torch.device("cpu"))
            )
            stopwatch = Stopwatch()
            monkeypatch.setattr(loop, "prefetch", stopwatch)
            begin = time.perf_counter()
            pretrain_round(context, few)
            shares.append(stopwatch.seconds / (time.perf_counter() - begin))
        figures[f"wait_share_{name}"] = statistics.median(shares)
    figures["wait_share_at_1_million_events_a_second"] = _wait_of_a_device(data, 1e6)
    faster = {"wait_share_at_5_million_events_a_second": _wait_of_a_device(data, 5e6)}
    record_figures("loader_wait", figures | faster)
    assert max(figures.values()) < 0.02


def _wait_of_a_device(data: PretrainingData, events_a_second: float) -> float:
    """The share of waiting in steps that leave the processor free, as those of a GPU do."""
    batches = PretrainingBatches(_study(FULL), "site", data)
    stopwatch = Stopwatch()
    begin = time.perf_counter()
    for masked in stopwatch(batches, range(100)):
        time.sleep(masked.batch.tokens.numel() / events_a_second)
    return stopwatch.seconds / (time.perf_counter() - begin)
