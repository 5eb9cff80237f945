"""Run as a program: how much memory a step takes, beside the estimate; two numbers in bytes.

`measured_memory.py SIZE CHECKPOINTING TOKENS PHASE`
"""

import sys
from pathlib import Path

import psutil
import torch

from fedehr_client.compute.compute import Compute
from fedehr_client.compute.memory import estimate_memory
from fedehr_client.compute.prepare import prepare_model
from fedehr_client.training.worst_pieces import worst_pieces
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.model.pretraining_model import PretrainingModel

VOCABULARY = 4_096


def _study(size: str) -> StudyConfig:
    return StudyConfig.model_validate(
        {"name": "m", "model": {"size": size}, "finetuning": {"tasks": ["a"]}}
    )


def _steps(study: StudyConfig, compute: Compute, num_tokens: int, num: int) -> None:
    piece = worst_pieces(study, "pretraining", VOCABULARY, num_tokens)[0]
    model = PretrainingModel(study.model, study.objective, VOCABULARY)
    prepare_model(model, compute)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    for _ in range(num):
        model(piece).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def _peak_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024


def _main(size: str, checkpointing: bool, num_tokens: int) -> None:
    torch.set_num_threads(1)
    compute = Compute(torch.device("cpu"), checkpointing=checkpointing)
    _steps(_study("tiny"), compute, 512, 1)
    before = psutil.Process().memory_info().rss
    _steps(_study(size), compute, num_tokens, 2)
    estimate = estimate_memory(_study(size), "pretraining", VOCABULARY, compute)
    print(_peak_bytes() - before, estimate.total_bytes(num_tokens) - estimate.received)


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2] == "on", int(sys.argv[3]))
