"""Run as a program: two steps of pre-training, beneath a limit on the process's memory.

`limited_memory.py ROOM_MB CONTEXT OUT.npz`; a room of 0 is no limit. The update goes to OUT, the
tokens at once of the end to standard output; what is logged and a refusal to standard error.
"""

import logging
import resource
import sys

import numpy as np
import psutil
import torch

from fedehr_client.compute.compute import Compute
from fedehr_client.compute.token_budget import TokenBudget
from fedehr_client.training.loop import RoundTrainer
from fedehr_client.training.round import RoundContext
from fedehr_client.training.worst_pieces import worst_pieces
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import TrainingError
from fedehr_shared.model.pretraining_model import PretrainingModel
from fedehr_shared.model.weights import build_model, draw_first_weights

VOCABULARY = 2_000
NUM_TOKENS = 8_192


def _study(context: int) -> StudyConfig:
    return StudyConfig.model_validate(
        {
            "name": "limited",
            "model": {"layers": 2, "hidden": 128, "heads": 4},
            "sequence": {"context": context},
            "pretraining": {"rounds": 1, "steps_per_round": 2},
            "finetuning": {"tasks": ["a"]},
        }
    )


def _limit(room_bytes: int) -> None:
    limit = psutil.Process().memory_info().vms + room_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))


def _main(room_mb: int, context: int, out: str) -> None:
    torch.set_num_threads(1)
    logging.basicConfig(level=logging.INFO)
    study = _study(context)
    weights = draw_first_weights(
        PretrainingModel(study.model, study.objective, VOCABULARY), "limited"
    )
    batch = worst_pieces(study, "pretraining", VOCABULARY, NUM_TOKENS)[0]
    model = build_model(lambda: PretrainingModel(study.model, study.objective, VOCABULARY), weights)
    compute = Compute(torch.device("cpu"))
    around = RoundContext(study, "site", 1, VOCABULARY, weights, None, compute)
    trainer = RoundTrainer(model, study.pretraining, lambda _: 1.0)
    budget = TokenBudget(None)
    if room_mb:
        _limit(room_mb * 1_000_000)
    try:
        done = trainer.run(around, lambda _: batch, model, budget=budget)
    except TrainingError as error:
        sys.exit(f"refused: {error}")
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
    np.savez(out, loss=done.loss, **done.update)
    print(budget.num_tokens)


if __name__ == "__main__":
    _main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
