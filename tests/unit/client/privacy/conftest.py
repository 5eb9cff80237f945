"""Models of every kind with a padded batch of their own, and randomness that a test knows."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fedehr_client.privacy.randomness import PrivateRandomness
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.model.finetuning_model import FinetuningModel
from fedehr_shared.model.heads.multitask import MultitaskLoss
from fedehr_shared.model.pretraining_model import PretrainingModel
from fedehr_shared.model.stack import set_attention
from fedehr_shared.model.tuning.plan import TuningPlan
from fedehr_shared.tokens.batch import EventBatch
from fedehr_shared.tokens.masking import MaskedBatch
from fedehr_shared.tokens.padded_batch import PaddedBatch
from fedehr_shared.tokens.padded_labels import PaddedLabelledBatch
from fedehr_shared.tokens.padded_masking import PaddedMaskedBatch

NUM_TOKENS = 24
LENGTHS = (7, 12, 3, 12, 9)
MODEL = {"layers": 2, "hidden": 16, "heads": 2}
TASKS: dict[str, dict[str, Any]] = {
    "class": {"kind": "multiclass", "classes": ["a", "b", "c"]},
    "days": {"kind": "regression", "center": 5, "scale": 2},
    "hours": {"kind": "time_to_event", "interval_ends_hours": [24, 48, 96]},
}
LORA = {"rank": 3, "target_modules": ["q", "v", "o", "gate", "down"]}
FINETUNED: dict[str, dict[str, Any]] = {
    "full": {},
    "full, not wide": {"finetuning": {"wide": False}},
    "full, sum": {"model": {"pooling": "sum"}},
    "full, attention pooling": {"model": {"pooling": "attention"}},
    "probe": {"finetuning": {"tuning": "probe", "wide": False}},
    "probe, wide": {"finetuning": {"tuning": "probe"}},
    "probe then full": {"finetuning": {"tuning": "probe_then_full"}},
    "gradual": {"finetuning": {"tuning": "gradual"}, "round": 3},
    "lora": {"finetuning": {"tuning": "lora"}, "lora": LORA},
    "lora, wide": {"finetuning": {"tuning": "lora", "wide": True}, "lora": LORA},
    "lora, rank stabilized": {
        "finetuning": {"tuning": "lora"}, "lora": {**LORA, "rank_stabilized": True},
    },
    "lora, frozen A": {
        "finetuning": {"tuning": "lora"}, "lora": {**LORA, "aggregation": "frozen_a"},
    },
    "lora, alternating, B's round": {
        "finetuning": {"tuning": "lora"}, "lora": {**LORA, "aggregation": "alternating"},
    },
    "lora, alternating, A's round": {
        "finetuning": {"tuning": "lora"}, "lora": {**LORA, "aggregation": "alternating"},
        "round": 2,
    },
    "lora, one layer": {
        "finetuning": {"tuning": "lora"}, "lora": {**LORA, "layer_ranks": [0, 2]},
    },
    "vera": {"finetuning": {"tuning": "lora"}, "lora": {**LORA, "variant": "vera"}},
    "uncertainty": {"loss": {"task_weights": "uncertainty"}},
    "focal": {"loss": {"kind": "focal", "label_smoothing": 0.1}},
}  # fmt: skip
VARIANTS = ("pretraining", "pretraining, one layer", *FINETUNED)


@dataclass(frozen=True)
class Variant:
    """A model, its batch, and the losses of a piece. `[subjects]`"""

    model: nn.Module
    batch: Any
    losses_of: Callable[[Any], torch.Tensor]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Threads cost more than they bring to layers this small."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(num_threads)


@pytest.fixture(params=VARIANTS)
def variant(request: pytest.FixtureRequest) -> Variant:
    """Each kind of model in turn."""
    return make_variant(request.param)


@pytest.fixture(scope="session")
def make() -> Callable[..., Variant]:
    """`make("lora")`: one kind of model."""
    return make_variant


class KnownRandomness(PrivateRandomness):
    """The numbers of a seed: what no code outside of tests can ask for."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._numbers = np.random.default_rng(seed)

    def _bytes(self, size: int) -> bytes:
        return self._numbers.bytes(size)


@pytest.fixture
def known() -> Callable[[int], PrivateRandomness]:
    """`known(seed)`: randomness that can be repeated."""
    return KnownRandomness


def make_variant(name: str, lengths: Sequence[int] = LENGTHS) -> Variant:
    """One kind of model with random weights, and a batch of rows of these lengths."""
    torch.manual_seed(1)
    if name.startswith("pretraining"):
        return _pretrained(1 if "one layer" in name else 2, lengths)
    return _finetuned(FINETUNED[name], lengths)


def _finetuned(changes: dict[str, Any], lengths: Sequence[int]) -> Variant:
    study = StudyConfig.model_validate(
        {
            "name": "any",
            "model": {**MODEL, **changes.get("model", {})},
            "finetuning": {
                "tasks": ["death", *TASKS],
                "rounds": 4,
                **changes.get("finetuning", {}),
            },
            "tasks": TASKS,
            "loss": changes.get("loss", {}),
            "lora": changes.get("lora", {}),
        }
    )
    model, total = FinetuningModel(study, NUM_TOKENS), MultitaskLoss(study)
    number, plan = changes.get("round", 1), TuningPlan.of(study)
    _fill(model)
    for parameter_name, parameter in model.named_parameters():
        parameter.requires_grad_(plan.rate_factor(parameter_name, number) > 0)
    labels = torch.tensor([1.0, 2.0, 9.0, 30.0]).repeat(len(lengths), 1)
    # No task is known of everybody, one of nobody, and one subject has no label at all.
    labels[torch.arange(len(lengths)), torch.arange(len(lengths)) % 4] = torch.nan
    labels[:, 3] = torch.nan
    labels[-1:] = torch.nan
    batch = PaddedLabelledBatch(PaddedBatch.of(_stream(lengths)), labels)

    def losses_of(piece: PaddedLabelledBatch) -> torch.Tensor:
        logits = model(piece.batch).float()
        return total.by_subject(logits, piece.labels, model.log_variances_of(piece.labels))

    return Variant(model, batch, losses_of)


def _pretrained(num_layers: int, lengths: Sequence[int]) -> Variant:
    study = StudyConfig.model_validate(
        {
            "name": "any",
            "model": {**MODEL, "layers": num_layers},
            "finetuning": {"tasks": ["death"]},
        }
    )
    model = PretrainingModel(study.model, study.objective, NUM_TOKENS, untied=True)
    _fill(model)
    stream = _stream(lengths)
    # Places of every row but the third, which has none; of the first more than the others.
    starts = stream.boundaries
    hidden = [starts[0], starts[0] + 2, starts[0] + 5, starts[1] + 4] if lengths else []
    hidden += [start + 1 for start in starts[3:-1]]
    positions = torch.tensor(hidden, dtype=torch.int64)
    masked = MaskedBatch.of(stream, positions, stream.tokens[positions])
    batch = PaddedMaskedBatch.of(masked, 4, np.random.default_rng(0))
    return Variant(model, batch, model.losses)


def _fill(model: nn.Module) -> None:
    """Nothing is zero: neither B of an adapter nor a query of pooling."""
    for parameter in model.parameters():
        with torch.no_grad():
            parameter.copy_(torch.randn(parameter.shape) * 0.3 + (parameter.dim() == 1) * 0.5)
    set_attention(model, "sdpa")
    model.train()


def _stream(lengths: Sequence[int]) -> EventBatch:
    total, cuts = sum(lengths), [0, *np.cumsum(lengths).tolist()]
    nobody = torch.zeros(0)
    hours = torch.cat([nobody, *(torch.rand(n).cumsum(0) * 50 for n in lengths)])
    return EventBatch(
        torch.randint(5, NUM_TOKENS, (total,)),
        hours,
        torch.rand(total),
        torch.randint(0, 8, (total,)),
        torch.cat([nobody.long(), *(torch.full((n,), n % 4) for n in lengths)]),
        torch.tensor(cuts),
        cuts,
    )
