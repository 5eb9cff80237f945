"""The commit that this code is of, where it runs from a checkout."""

import subprocess
from pathlib import Path

_SECONDS = 10.0


def describe_commit() -> str:
    """The commit's name, with `-dirty` where files differ from it; else `unknown`."""
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return found.stdout.strip() or "unknown"
