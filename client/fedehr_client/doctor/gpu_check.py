"""The GPU, its driver, and whether torch can use it."""

import shutil
import subprocess
import sys
from collections.abc import Iterator

from fedehr_client.doctor.finding import Finding, fail, ok, warn
from fedehr_client.site import SiteConfig

PROGRAM = "nvidia-smi"
LEAST_FREE_SHARE = 0.5
_QUERY = "name,driver_version,memory.total,memory.used"
_SECONDS = 60.0
_ASK_TORCH = (
    "import torch; print(torch.version.cuda or '', int(torch.cuda.is_available()), sep=',')"
)
_MEGABYTE = 1024**2


def check_gpu(config: SiteConfig) -> Iterator[Finding]:
    """What `nvidia-smi` shows and torch says, against `[compute] device`."""
    device = config.compute.device
    if device == "cpu":
        yield ok("gpu", "[compute] device is cpu: no GPU is used.", num_gpus=0)
        return
    lines = _ask([PROGRAM, f"--query-gpu={_QUERY}", "--format=csv,noheader,nounits"])
    if shutil.which(PROGRAM) is None or lines == []:
        yield _without(device, "no GPU was found", 0)
        return
    if lines is None:
        yield _without(device, f"{PROGRAM} fails: the driver does not answer", None)
        return
    gpus = [[word.strip() for word in line.split(",")] for line in lines]
    for name, driver, total, used in gpus:
        yield _judge(name, driver, total, used, len(gpus))
    yield _check_torch(device)


def _without(device: str, what: str, num_gpus: int | None) -> Finding:
    if device == "cuda":
        mend = f'install the NVIDIA driver until `{PROGRAM}` works, or set [compute] device = "cpu"'
        return fail("gpu", f"{what}, and [compute] device is cuda.", mend, num_gpus=num_gpus)
    if num_gpus is None:
        mend = f"restart the machine, or install the NVIDIA driver until `{PROGRAM}` works"
        return warn("gpu", f"{what}; the processor is used.", mend, num_gpus=num_gpus)
    return ok("gpu", f"{what}; the processor is used.", num_gpus=num_gpus)


def _judge(name: str, driver: str, total: str, used: str, num_gpus: int) -> Finding:
    if not (total.isdigit() and used.isdigit()):
        # Parts of a shared GPU tell no memory of their own.
        return ok("gpu", f"{name}, driver {driver}.", driver=driver, num_gpus=num_gpus)
    free = (int(total) - int(used)) * _MEGABYTE
    text = f"{name}, driver {driver}, {free / 1e9:.1f} of {int(total) * _MEGABYTE / 1e9:.1f} GB "
    text += "free."
    if int(total) - int(used) < LEAST_FREE_SHARE * int(total):
        mend = f"{PROGRAM}   (shows who uses it; [schedule] yield_gpu = true makes way)"
        return warn("gpu", text, mend, driver=driver, free_bytes=free, num_gpus=num_gpus)
    return ok("gpu", text, driver=driver, free_bytes=free, num_gpus=num_gpus)


def _check_torch(device: str) -> Finding:
    # Another process: torch takes seconds and memory, and a broken driver may end it.
    lines = _ask([sys.executable, "-c", _ASK_TORCH])
    cuda, _, usable = (lines[-1] if lines else "").partition(",")
    if usable == "1":
        return ok("torch_gpu", f"torch uses the GPU, with CUDA {cuda}.", cuda=cuda)
    if cuda:
        text = f"torch was built for CUDA {cuda} and cannot use the GPU."
        mend = "install an NVIDIA driver that supports this CUDA"
    else:
        text = "the installed torch has no CUDA, so the GPU is not used."
        mend = "pip install --force-reinstall torch   (from the CUDA index of pytorch.org)"
    if device == "cuda":
        return fail("torch_gpu", text, mend, cuda=cuda or None)
    return warn("torch_gpu", text, mend, cuda=cuda or None)


def _ask(command: list[str]) -> list[str] | None:
    """The lines that a program prints; None where it fails, nothing where it is missing."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=True)
    except FileNotFoundError:
        return []
    except (OSError, subprocess.SubprocessError):
        return None
    return [line for line in done.stdout.splitlines() if line.strip()]
