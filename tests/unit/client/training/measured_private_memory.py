"""Run as a program: how much memory private steps take, beside what is reckoned; in bytes.

`measured_private_memory.py SIZE CONTEXT LENGTH TUNING`; without TUNING it is pre-training.
Every row has LENGTH tokens; the batch is cut as a round cuts it.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from fedehr_client.compute.compute import TOKEN_BUDGET, Compute
from fedehr_client.privacy.clipping_norm import ClippingNorm
from fedehr_client.privacy.listening import listening
from fedehr_client.privacy.mechanism import Mechanism
from fedehr_client.privacy.private_step import PrivateStepTaker
from fedehr_client.privacy.randomness import PrivateRandomness
from fedehr_client.training.private_fitting import fit_private_round, reckoned_bytes
from fedehr_client.training.round import RoundContext
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.model.finetuning_model import FinetuningModel
from fedehr_shared.model.heads.multitask import MultitaskLoss
from fedehr_shared.model.pretraining_model import PretrainingModel
from fedehr_shared.model.tuning.plan import TuningPlan
from fedehr_shared.tokens.batch import EventBatch
from fedehr_shared.tokens.masking import MaskedBatch
from fedehr_shared.tokens.padded_batch import PaddedBatch
from fedehr_shared.tokens.padded_labels import PaddedLabelledBatch
from fedehr_shared.tokens.padded_masking import PaddedMaskedBatch, places_of_row

VOCABULARY = 4_096
NUM_TOKENS = 16_384


def _study(size: str, context: int, tuning: str) -> StudyConfig:
    section = {"tuning": tuning, "optimizer_state": "fresh"} if tuning else {}
    return StudyConfig.model_validate({
        "name": "m",
        "model": {"size": size},
        "sequence": {"context": context},
        "pretraining": {"optimizer_state": "fresh"},
        "finetuning": {"tasks": ["a"], **section},
        "privacy": {"mechanism": "local", "noise_multiplier": 1, "target_delta": 1e-5},
    })  # fmt: skip


def _batch(study: StudyConfig, length: int, tuning: str, most_rows: int | None) -> Any:
    num = max(1, NUM_TOKENS // length)
    cuts = (np.arange(num + 1) * length).tolist()
    tokens = torch.arange(num * length) % (VOCABULARY - 4) + 4
    zeros = torch.zeros(tokens.numel())
    none = zeros.long()
    stream = EventBatch(tokens, zeros, zeros, none, none, torch.tensor(cuts), cuts)
    if tuning:
        return PaddedLabelledBatch(PaddedBatch.of(stream), torch.ones(num, 1), most_rows)
    positions = torch.from_numpy(np.flatnonzero(np.arange(num * length) % 10 < 3))
    masked = MaskedBatch.of(stream, positions, tokens[positions])
    most = places_of_row(study.masking, study.sequence.context)
    return PaddedMaskedBatch.of(masked, most, np.random.default_rng(0), most_rows)


def _step(size: str, context: int, length: int, tuning: str, num: int) -> int:
    """Take steps; what was reckoned."""
    study = _study(size, context, tuning)
    phase = "finetuning" if tuning else "pretraining"
    model: Any = FinetuningModel(study, VOCABULARY) if tuning else None
    model = model or PretrainingModel.of(study, VOCABULARY)
    plan = TuningPlan.of(study)
    for name, parameter in model.named_parameters():
        trained = not tuning or plan.rate_factor(name, study.finetuning.rounds) > 0
        parameter.requires_grad_(trained)
    compute = Compute(torch.device("cpu"), to_fit=frozenset({TOKEN_BUDGET}))
    given = RoundContext(study, "site", 2, VOCABULARY, {}, None, compute)
    given, fit = fit_private_round(given, phase, model)
    batch = _batch(study, length, tuning, fit.most_rows)
    loss = MultitaskLoss(study)

    def losses_of(piece: Any) -> torch.Tensor:
        if not tuning:
            found: torch.Tensor = model.losses(piece)
            return found
        return loss.by_subject(model(piece.batch).float(), piece.labels)

    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], fused=True)
    model.train()
    with listening(model) as gradients:
        taker = PrivateStepTaker(
            optimizer, losses_of, given.compute, fit.budget, gradients=gradients,
            clipping=ClippingNorm(Mechanism.of(study, phase)), randomness=PrivateRandomness(),
        )  # fmt: skip
        for step in range(num):
            taker.take(step, 0, batch)
    return reckoned_bytes(given, phase, model, fit)


def _peak_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024


def _main(size: str, context: int, length: int, tuning: str) -> None:
    torch.set_num_threads(1)
    _step("tiny", 64, 64, tuning, 1)
    before = psutil.Process().memory_info().rss
    reckoned = _step(size, context, length, tuning, 2)
    print(_peak_bytes() - before, reckoned)


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), "".join(sys.argv[4:5]))
