"""Run as a program: how much memory a step takes, beside the estimate; two numbers in bytes.

`measured_memory.py SIZE CHECKPOINTING TOKENS TUNING`; without TUNING it is pre-training.
"""

import sys
from pathlib import Path
from typing import Any

import psutil
import torch

from fedehr_client.compute.compute import Compute
from fedehr_client.compute.memory import estimate_memory
from fedehr_client.compute.prepare import prepare_model
from fedehr_client.training.worst_pieces import worst_pieces
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.model.finetuning_model import FinetuningModel
from fedehr_shared.model.pretraining_model import PretrainingModel
from fedehr_shared.model.tuning.plan import TuningPlan

VOCABULARY = 4_096


def _study(size: str, tuning: str) -> StudyConfig:
    section = {"tuning": tuning, "wide": False, "optimizer_state": "fresh"} if tuning else {}
    return StudyConfig.model_validate(
        {"name": "m", "model": {"size": size}, "finetuning": {"tasks": ["a"], **section}}
    )


def _model(study: StudyConfig, tuning: str) -> Any:
    if not tuning:
        return PretrainingModel(study.model, study.objective, VOCABULARY)
    model, plan = FinetuningModel(study, VOCABULARY), TuningPlan.of(study)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(plan.rate_factor(name, study.finetuning.rounds) > 0)
    return model


def _steps(study: StudyConfig, compute: Compute, num_tokens: int, num: int, tuning: str) -> None:
    piece: Any = worst_pieces(study, _phase(tuning), VOCABULARY, num_tokens)[0]
    model = _model(study, tuning)
    prepare_model(model, compute)
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learning, fused=True)
    for _ in range(num):
        loss = model(piece.batch).sum() if tuning else model(piece)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def _phase(tuning: str) -> str:
    return "finetuning" if tuning else "pretraining"


def _peak_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024


def _main(size: str, checkpointing: bool, num_tokens: int, tuning: str) -> None:
    torch.set_num_threads(1)
    compute = Compute(torch.device("cpu"), checkpointing=checkpointing)
    _steps(_study("tiny", tuning), compute, 512, 1, tuning)
    before = psutil.Process().memory_info().rss
    study = _study(size, tuning)
    _steps(study, compute, num_tokens, 2, tuning)
    estimate = estimate_memory(study, _phase(tuning), VOCABULARY, compute)
    print(_peak_bytes() - before, estimate.total_bytes(num_tokens) - estimate.received)


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2] == "on", int(sys.argv[3]), "".join(sys.argv[4:5]))
