"""Gradients of each subject at once, as differential privacy needs them: those of one by one."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.func import functional_call, grad, vmap

from fedehr_shared.config.finetuning import FinetuningConfig
from fedehr_shared.config.model import ModelConfig
from fedehr_shared.config.objective import ObjectiveConfig
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.model.finetuning_model import FinetuningModel
from fedehr_shared.model.heads.multitask import MultitaskLoss
from fedehr_shared.model.pretraining_model import PretrainingModel
from fedehr_shared.model.stack import set_attention
from fedehr_shared.model.weights import draw_first_weights, load_parameters
from fedehr_shared.tokens.batch import EventBatch
from fedehr_shared.tokens.masking import MaskedBatch

MODEL = ModelConfig(layers=2, hidden=16, heads=2)
NUM_TOKENS, LENGTH, NUM_SUBJECTS = 12, 9, 4


def _stream(*columns: torch.Tensor) -> EventBatch:
    tokens, hours, ages, visits, sexes = columns
    places = torch.tensor([0, LENGTH])
    return EventBatch(tokens, hours, ages, visits, sexes, places, [0, LENGTH])


def _finetuned(wide: bool) -> tuple[torch.nn.Module, Callable[..., Any]]:
    tuning = FinetuningConfig(tasks=("a",), dropout=0, wide=wide)
    model = FinetuningModel(StudyConfig(name="any", model=MODEL, finetuning=tuning), NUM_TOKENS)

    def loss(weights: dict[str, torch.Tensor], *columns: torch.Tensor) -> Any:
        return functional_call(model, weights, (_stream(*columns),)).square().sum()

    return model, loss


def _adapted(variant: str) -> tuple[torch.nn.Module, Callable[..., Any]]:
    lora = {"variant": variant, "rank": 3, "target_modules": ["q", "v", "o", "gate", "down"]}
    study = StudyConfig.model_validate({
        "name": "any", "model": MODEL.model_dump(), "lora": lora,
        "finetuning": {"tasks": ["a"], "tuning": "lora"},
    })  # fmt: skip
    model = FinetuningModel(study, NUM_TOKENS)

    def loss(weights: dict[str, torch.Tensor], *columns: torch.Tensor) -> Any:
        return functional_call(model, weights, (_stream(*columns),)).square().sum()

    return model, loss


TASKS: dict[str, dict[str, Any]] = {
    "class": {"kind": "multiclass", "classes": ["a", "b", "c"]},
    "days": {"kind": "regression", "center": 5, "scale": 2},
    "hours": {"kind": "time_to_event", "interval_ends_hours": [24, 48, 96]},
}
LABELS = torch.tensor([1.0, 2.0, 9.0, -30.0])


def _all_kinds(loss_kind: str, task_weights: str) -> tuple[torch.nn.Module, Callable[..., Any]]:
    """Every kind of head on attention pooling, down to the loss; some subjects have no label."""
    study = StudyConfig.model_validate(
        {
            "name": "any",
            "model": {"layers": 2, "hidden": 16, "heads": 2, "pooling": "attention"},
            "finetuning": {"tasks": ["death", *TASKS]},
            "tasks": TASKS,
            "loss": {"kind": loss_kind, "task_weights": task_weights},
        }
    )
    model, total = FinetuningModel(study, NUM_TOKENS), MultitaskLoss(study)
    counts = torch.full((4,), NUM_SUBJECTS)

    def loss(weights: dict[str, torch.Tensor], *columns: torch.Tensor) -> Any:
        logits = functional_call(model, weights, (_stream(*columns),))
        labels = torch.where(columns[0][:1] % 2 == 0, LABELS, torch.nan)[None]
        return total(logits, labels, counts, weights.get("uncertainty.log_variances"))

    return model, loss


def _pretrained() -> tuple[torch.nn.Module, Callable[..., Any]]:
    model, positions = PretrainingModel(MODEL, ObjectiveConfig(), NUM_TOKENS), torch.tensor([1, 5])

    def loss(weights: dict[str, torch.Tensor], *columns: torch.Tensor) -> Any:
        stream = _stream(*columns)
        masked = MaskedBatch.of(stream, positions, stream.tokens[positions])
        return functional_call(model, weights, (masked,))

    return model, loss


@pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")
@pytest.mark.parametrize(
    "make",
    [
        _pretrained,
        lambda: _finetuned(False),
        lambda: _finetuned(True),
        lambda: _adapted("lora"),
        lambda: _adapted("vera"),
        lambda: _all_kinds("cross_entropy", "uncertainty"),
        lambda: _all_kinds("focal", "equal"),
    ],
)
def test_gradients_of_all_subjects_at_once_are_those_of_each(
    make: Callable[[], tuple[torch.nn.Module, Callable[..., Any]]],
) -> None:
    model, loss = make()
    load_parameters(model, draw_first_weights(model, 1))
    set_attention(model, "padded")
    generator = torch.Generator().manual_seed(0)
    shape = (NUM_SUBJECTS, LENGTH)
    whole = [torch.randint(0, n, shape, generator=generator) for n in (NUM_TOKENS, 8, 4)]
    real = [torch.rand(shape, generator=generator) for _ in range(2)]
    columns = (whole[0], real[0] * 90, real[1], whole[1], whole[2])
    weights = {name: p.detach() for name, p in model.named_parameters()}
    at_once = vmap(grad(loss), in_dims=(None, 0, 0, 0, 0, 0))(weights, *columns)
    for subject in range(NUM_SUBJECTS):
        alone = grad(loss)(weights, *(column[subject] for column in columns))
        for name, expected in alone.items():
            torch.testing.assert_close(at_once[name][subject], expected, atol=1e-6, rtol=1e-4)
