"""Small models with adapters, and batches for them."""

from typing import Any

import numpy as np
import torch

from fedehr_shared.config.study import StudyConfig
from fedehr_shared.model.finetuning_model import FinetuningModel
from fedehr_shared.model.tuning.plan import is_adapter
from fedehr_shared.model.weights import draw_first_weights, load_parameters
from fedehr_shared.tokens.batch import EventBatch

NUM_TOKENS = 30
LORA: dict[str, Any] = {"target_modules": ["q", "k", "v", "o", "gate", "up", "down"]}
KINDS: dict[str, dict[str, Any]] = {
    "lora": {**LORA, "rank": 3},
    "stabilized": {**LORA, "rank": 5, "alpha": 3.0, "rank_stabilized": True},
    "by_layer": {**LORA, "layer_ranks": [0, 2]},
    "vera": {**LORA, "variant": "vera", "rank": 6},
    "vera_by_layer": {**LORA, "variant": "vera", "layer_ranks": [4, 2]},
}


def make_study(lora: dict[str, Any] | None, seed: int = 3) -> StudyConfig:
    tuning = {"tuning": "full", "wide": False} if lora is None else {"tuning": "lora"}
    return StudyConfig.model_validate({
        "name": "any", "seed": seed, "model": {"layers": 2, "hidden": 16, "heads": 2},
        "finetuning": {"tasks": ["a", "b"], **tuning}, "lora": lora or {},
    })  # fmt: skip


def make_model(study: StudyConfig, *, trained: bool = True) -> FinetuningModel:
    """With adapters as after some training."""
    model = FinetuningModel(study, NUM_TOKENS).eval()
    weights = draw_first_weights(model, study.seed)
    generator = np.random.default_rng(5)
    for name in weights if trained else ():
        if is_adapter(name):
            drawn = generator.normal(0, 1 / 3, weights[name].shape)
            weights[name] = drawn.astype(np.float32)
    load_parameters(model, weights)
    return model


def make_batch(lengths: tuple[int, ...] = (4, 1, 7), seed: int = 0) -> EventBatch:
    generator = torch.Generator().manual_seed(seed)
    num = sum(lengths)
    ends = torch.tensor([0, *np.cumsum(lengths).tolist()])
    whole = [torch.randint(0, n, (num,), generator=generator) for n in (NUM_TOKENS, 8, 4)]
    real = [torch.rand(num, generator=generator) for _ in range(2)]
    return EventBatch(whole[0], real[0] * 90, real[1], whole[1], whole[2], ends, ends.tolist())
