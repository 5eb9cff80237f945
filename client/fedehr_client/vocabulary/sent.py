"""`write_sent`: what leaves in the vocabulary phase, in a file that the site's people can read."""

import json
import os
from pathlib import Path
from typing import Any

from fedehr_shared.errors import DataError
from fedehr_shared.vocabulary.grid import value_at
from fedehr_shared.vocabulary.histogram import MergedHistogram
from fedehr_shared.wire.payload import Payload
from fedehr_shared.wire.vocabulary_payload import report_from_payload

_DIGITS = 6


def write_sent(work: Path, study: str, payload: Payload) -> Path:
    """Write `<work>/sent/vocabulary-<study>.json` from the message itself, before it is sent.

    Args:
        work: the site's private folder.
        study: the study's digest; the file is named by its first 12 digits.
        payload: the answer.

    Returns:
        The file. A later answer for the same study replaces it.

    Raises:
        DataError: the file cannot be written; then nothing may leave.
    """
    file = work / "sent" / f"vocabulary-{study[:12]}.json"
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial = file.with_suffix(".partial")
        partial.unlink(missing_ok=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="utf-8") as stream:
            json.dump(_content(study, payload), stream, indent=1, ensure_ascii=False)
            stream.write("\n")
        partial.replace(file)
    except OSError as error:
        raise DataError(
            f"cannot write {file}, the copy of what is sent: {error.strerror}. Mend its "
            "permissions or free the disk; nothing was sent."
        ) from error
    return file


def _content(study: str, payload: Payload) -> dict[str, Any]:
    """The message in words: counts of subjects by code, histograms by value."""
    report = report_from_payload(payload)
    noise = report.noise
    return {
        "study": study,
        "site": report.site,
        "num_subjects": report.num_subjects,
        "noise": None
        if noise is None
        else {
            "subject_epsilon": noise.subject_epsilon,
            "delta": noise.delta,
            "sigma": noise.sigma,
        },
        "num_subjects_by_code": report.num_subjects_by_code,
        "parents": report.parents,
        "histograms": {code: _histogram(told) for code, told in report.histograms.items()},
        "labels": {task: list(counts) for task, counts in report.labels.items()},
    }


def _histogram(told: MergedHistogram) -> dict[str, Any]:
    """A line for the edges, as sent and as values, and one for the subjects between them."""
    return {
        "grid_edges": list(told.edges),
        "edges": [float(f"{value_at(edge):.{_DIGITS}g}") for edge in told.edges],
        "num_subjects": list(told.counts),
    }
