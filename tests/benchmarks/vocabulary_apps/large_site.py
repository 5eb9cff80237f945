"""A large site as a stream: run as a program it counts one and prints what that took.

    python large_site.py NUM_SUBJECTS

All chunks come from one seed and are made as they are asked for, so that memory is the counting's.
"""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fedehr_client.vocabulary.site_report import SiteRecords, count_site
from fedehr_shared.meds.reader import NO_VISIT, Events

NUM_CODES = 20_000
NUM_NUMERIC = 2_500
MIN_CELL = 11
EVENTS_A_SUBJECT = 200
_SUBJECTS_A_CHUNK = 650


def code_names() -> tuple[str, ...]:
    """Laboratory codes with values, diagnoses in groups of ten below a category, drugs."""
    labs = [f"LOINC//{1_000 + n}-{n % 10}//mmol/L" for n in range(NUM_NUMERIC)]
    num_diagnoses = NUM_CODES * 3 // 5
    diagnoses = [
        f"ICD10CM//{chr(65 + n // 1_000)}{n // 10 % 100:02}.{n % 10}1" for n in range(num_diagnoses)
    ]
    drugs = [f"RXNORM//{100_000 + n}" for n in range(NUM_CODES - NUM_NUMERIC - num_diagnoses)]
    return (*labs, *diagnoses, *drugs)


def code_parents(codes: tuple[str, ...]) -> dict[str, str]:
    """As a site's table gives them: a category a diagnosis, a class a drug."""
    diagnoses = {c: c.split(".")[0] for c in codes if c.startswith("ICD10CM//")}
    drugs = {c: f"ATC//{chr(65 + int(c[-3:]) % 14)}10BA" for c in codes if c.startswith("RXNORM//")}
    return diagnoses | drugs


def stream(num_subjects: int, codes: tuple[str, ...], seed: int = 0) -> Iterator[Events]:
    """Half of the events are laboratory values; the other codes are about as frequent as 1/rank
    to the power of 0.6, the rarest in some 30 of 100,000 subjects."""
    weights = np.arange(1, NUM_CODES - NUM_NUMERIC + 1) ** -0.6
    cumulative = np.cumsum(weights) / weights.sum()
    for first in range(0, num_subjects, _SUBJECTS_A_CHUNK):
        subjects = np.arange(first, min(num_subjects, first + _SUBJECTS_A_CHUNK))
        generator = np.random.default_rng([seed, first])
        ids = np.repeat(subjects, EVENTS_A_SUBJECT)
        lab = generator.integers(0, NUM_NUMERIC, ids.size)
        other = NUM_NUMERIC + np.searchsorted(cumulative, generator.random(ids.size))
        is_lab = generator.random(ids.size) < 0.5
        values = (1 + lab % 97) * np.exp(generator.normal(0, 0.25, ids.size))
        yield Events(
            subject_ids=ids,
            times=np.tile(np.arange(EVENTS_A_SUBJECT, dtype=np.int64), subjects.size),
            code_indices=np.where(is_lab, lab, other).astype(np.int32),
            values=np.where(is_lab, values, np.nan).astype(np.float32),
            visit_ids=np.full(ids.size, NO_VISIT),
            codes=codes,
        )


def records(num_subjects: int) -> SiteRecords:
    """The site; a tenth of its subjects is held out."""
    codes = code_names()
    splits = {s: "held_out" if s % 10 == 9 else "train" for s in range(num_subjects)}
    return SiteRecords(
        "large", codes, code_parents(codes), splits, lambda: stream(num_subjects, codes)
    )


def _peak_bytes() -> int:
    # getrusage would tell the peak of the process that started this one, if it was greater.
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1_024


def main() -> None:
    """Count, and print seconds and bytes as JSON."""
    site = records(int(sys.argv[1]))
    began = time.process_time()
    report = count_site(site, MIN_CELL)
    told = {
        "cpu_seconds": time.process_time() - began,
        "peak_bytes": _peak_bytes(),
        "num_told": len(report.num_subjects_by_code),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
