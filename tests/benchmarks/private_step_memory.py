"""The memory of two steps, in a process of its own:
`python private_step_memory.py BATCH pretraining|lora CONTEXT flat|padded|private`.

BATCH is a file of a `MaskedBatch`. Prints how far the resident memory rose, in bytes, above what
the process held before the model was made: weights, gradients, moments and activations. The
second step has all that the first one made. The whole batch is one piece.
"""

import json
import sys
from pathlib import Path

import private_steps
import torch


def measure(file: str, name: str, context: int, way: str) -> int:
    """Bytes at the peak."""
    masked = torch.load(file, weights_only=False)
    before = _kilobytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts anew
    step = private_steps.make(name, masked, context).step(way, None)
    step()
    step()
    return 1_024 * (_kilobytes("VmHWM") - before)


def _kilobytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps(measure(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])))
