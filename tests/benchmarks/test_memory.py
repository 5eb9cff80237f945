"""Peak memory of a step per token of budget, with and without checkpointing, beside BERT's.

On the CPU, in fp32: the resident memory of processes of their own, as the slope between two
budgets, so that weights, moments and libraries do not count. BERT's is per real token: its rows
are padded to the context.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from corpus import NUM_TOKENS, Corpus

from fedehr_client.compute.compute import Compute
from fedehr_client.compute.memory import estimate_memory
from fedehr_shared.config.masking import MaskingConfig
from fedehr_shared.config.study import StudyConfig

pytestmark = [
    pytest.mark.benchmark,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/status"),
]
HERE = Path(__file__).parent
CONTEXT = 512
NUM_SUBJECTS = (8, 24)
CASES: dict[str, dict[str, Any]] = {
    "ours_small": {"who": "ours", "size": "small"},
    "ours_small_checkpointing": {"who": "ours", "size": "small", "checkpointing": True},
    "ours_base": {"who": "ours", "size": "base"},
    "ours_base_checkpointing": {"who": "ours", "size": "base", "checkpointing": True},
    "bert_base": {"who": "bert", "size": "base"},
    "bert_base_default": {"who": "bert", "size": "base", "dropout": 0.1},
}


def test_memory_per_token(
    corpus: Corpus, tmp_path: Path, record_figures: Callable[[str, dict[str, Any]], Path]
) -> None:
    files = []
    for num in NUM_SUBJECTS:
        rows = corpus.typical_rows(num, CONTEXT)
        files.append(tmp_path / f"{num}.pt")
        torch.save(corpus.masked_batch(rows, CONTEXT, MaskingConfig(), 0), files[-1])
    slopes: dict[str, Any] = {}
    for name, case in CASES.items():
        few, many = (_measure(file, case) for file in files)
        rise = many["bytes"] - few["bytes"]
        slopes[f"{name}_kilobytes_a_token"] = rise / (many["tokens"] - few["tokens"]) / 1e3
        if case["who"] == "ours":
            slopes[f"{name}_estimated_kilobytes_a_token"] = _estimated(case) / 1e3
        if case["who"] == "bert":
            padded = many["held_tokens"] - few["held_tokens"]
            slopes[f"{name}_kilobytes_a_padded_token"] = rise / padded / 1e3
    ours, kept = slopes["ours_base_kilobytes_a_token"], slopes["bert_base_kilobytes_a_token"]
    again = slopes["ours_base_checkpointing_kilobytes_a_token"]
    slopes |= {"bert_to_ours_base": kept / ours, "checkpointing_to_kept_base": again / ours}
    record_figures("memory", slopes)
    assert again < 0.5 * ours
    assert kept > 2 * ours


def _estimated(case: dict[str, Any]) -> float:
    """What a site is told before the start, in bytes a token."""
    study = StudyConfig.model_validate({
        "name": "bench", "model": {"size": case["size"]}, "sequence": {"context": CONTEXT},
        "finetuning": {"tasks": ["death"]},
    })  # fmt: skip
    compute = Compute(torch.device("cpu"), checkpointing=case.get("checkpointing", False))
    return estimate_memory(study, "pretraining", NUM_TOKENS, compute).token_bytes


def _measure(file: Path, case: dict[str, Any]) -> dict[str, int]:
    options = {"context": CONTEXT, "checkpointing": False, "dropout": 0.0, **case}
    done = subprocess.run(
        [sys.executable, HERE / "step_memory.py", file, json.dumps(options)],
        # With a fixed threshold glibc gives every large block back at once when it is freed.
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, int] = json.loads(done.stdout)
    return found
