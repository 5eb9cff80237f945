"""The memory of one step, in a process of its own: `python step_memory.py BATCH OPTIONS`.

BATCH is a file of a `MaskedBatch`; OPTIONS is JSON: `who` ("ours" or "bert"), `size`, `context`,
`checkpointing` (ours alone), `dropout` (BERT's alone). Prints JSON: how far the resident memory
rose in the step above what the process held before it, with weights, gradients and AdamW's
moments in place.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from bert import PaddedBatch, make_bert
from corpus import NUM_TOKENS
from step_variants import make_optimizer, make_ours

from fedehr_shared.config.model import ModelConfig
from fedehr_shared.model.stack import set_checkpointing
from fedehr_shared.tokens.masking import MaskedBatch


def measure(masked: MaskedBatch, options: dict[str, Any]) -> dict[str, int]:
    """Bytes that a step adds at its peak, and the tokens that it is over."""
    size = ModelConfig.model_validate({"size": options["size"]})
    if options["who"] == "ours":
        model: Any = make_ours(size, NUM_TOKENS)
        set_checkpointing(model, options["checkpointing"])
        inputs, loss_of = masked, model
        num_held = masked.batch.tokens.numel()
    else:
        model = make_bert(size, NUM_TOKENS, options["context"], options["dropout"])
        inputs = PaddedBatch.of(masked, options["context"])
        num_held = inputs.input_ids.numel()

        def loss_of(padded: PaddedBatch) -> torch.Tensor:
            return padded.dense_loss(model)

    optimizer = make_optimizer(model)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()  # makes the moments
    before = _kilobytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts anew
    loss_of(inputs).backward()
    optimizer.step()
    return {
        "bytes": 1_024 * (_kilobytes("VmHWM") - before),
        "tokens": masked.batch.tokens.numel(),
        "held_tokens": num_held,
    }


def _kilobytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


if __name__ == "__main__":
    torch.set_num_threads(1)
    batch = torch.load(sys.argv[1], weights_only=False)
    print(json.dumps(measure(batch, json.loads(sys.argv[2]))))
