"""The memory of encoding and of decoding a model, in a process of its own: `codec_memory.py WHO`.

WHO is one of `codec_formats.FORMATS`. Prints JSON: how far the resident memory rose at its peak
above what the process held before, the result included, as a share of the model's float32 bytes.
"""

import ctypes
import gc
import json
import sys
from pathlib import Path
from typing import Any

import torch
from codec_formats import FORMATS, make_model

NUM_PARAMETERS = 100_000_000


def measure(who: str) -> dict[str, float]:
    """Peaks of both ways; each with nothing in memory but what it takes in."""
    encode, decode = FORMATS[who]
    decode(encode(make_model(1_000_000)))  # loads what is loaded late
    model = make_model(NUM_PARAMETERS)
    size = sum(array.nbytes for array in model.values())
    before = _start()
    data = encode(model)
    encoding = _peak() - before
    _drop(model)
    before = _start()
    again = decode(data)
    decoding = _peak() - before
    assert sum(array.nbytes for array in again.values()) in {size, size // 2}
    return {"encode": encoding / size, "decode": decoding / size, "record": len(data) / size}


def _drop(model: dict[str, Any]) -> None:
    model.clear()
    gc.collect()
    # What the allocator keeps for later would be used again, and not be seen.
    ctypes.CDLL(None).malloc_trim(0)


def _start() -> int:
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts anew
    return _bytes("VmRSS")


def _peak() -> int:
    return _bytes("VmHWM")


def _bytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1_024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps(measure(sys.argv[1])))
