"""A wall clock that is off, for some processes of this machine alone."""

import shutil
import subprocess
from pathlib import Path

_SOURCE = Path(__file__).with_suffix(".c")


def why_not() -> str | None:
    """What this machine lacks for it, or None."""
    return None if shutil.which("cc") else "a wrong clock needs a C compiler (Debian: gcc)"


def environ_of(folder: Path, seconds: int) -> dict[str, str]:
    """What a process needs in its environment, and those that it starts, for such a clock."""
    library = folder / "shifted_clock.so"
    if not library.exists():
        words = ["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(_SOURCE)]
        subprocess.run(words, check=True, capture_output=True, timeout=60)
    return {"LD_PRELOAD": str(library), "FEDEHR_LAB_CLOCK_SECONDS": str(seconds)}
