"""`charge`: one line in the site's account of privacy, on the disk before anything leaves.

    <work>/privacy/spent.jsonl
    {"time": "...", "study": "<sha256>", "phase": "vocabulary", "mechanism": "gaussian",
     "subject_epsilon": 1.0, "delta": 1e-06, "sigma": 75.5, "neighbors": "add_or_remove_one",
     "records": "<sha256>"}

A release that was charged and then never left stays charged.
"""

import fcntl
import json
import os
from datetime import UTC, datetime
from pathlib import Path

from fedehr_shared.errors import DataError
from fedehr_shared.vocabulary.noise_spent import NoiseSpent


def charge(work: Path, study: str, records: str, spent: NoiseSpent) -> None:
    """Append what a release costs; processes wait for one another.

    Args:
        work: the site's private folder.
        study: the study's digest.
        records: the fingerprint of the records that were counted.
        spent: the cost.

    Raises:
        DataError: the account cannot be written; then nothing may leave.
    """
    line = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "study": study,
        "phase": "vocabulary",
        "mechanism": "gaussian",
        "subject_epsilon": spent.subject_epsilon,
        "delta": spent.delta,
        "sigma": spent.sigma,
        "neighbors": "add_or_remove_one",
        "records": records,
    }
    file = work / "privacy" / "spent.jsonl"
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
        with open(descriptor, "r+b") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            if stream.seek(0, os.SEEK_END) and _last_byte(stream.fileno()) != b"\n":
                # A crash or a full disk left a torn line: it must not swallow this one.
                stream.write(b"\n")
            stream.write(json.dumps(line).encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise DataError(
            f"cannot write the account of privacy {file}: {error.strerror}. Mend its permissions "
            "or free the disk; nothing was sent."
        ) from error


def _last_byte(descriptor: int) -> bytes:
    return os.pread(descriptor, 1, os.fstat(descriptor).st_size - 1)
