"""The vocabulary phase at a large site: bytes sent, rows a second, memory, error of deciles."""

import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from flwr.app import ConfigRecord, RecordDict
from flwr.common.serde import recorddict_to_proto
from numpy.typing import NDArray

from fedehr_client.records import to_records
from fedehr_client.vocabulary.site_report import count_site
from fedehr_client.vocabulary.subjects import SubjectCodes, training_subjects
from fedehr_shared.cells import told_count
from fedehr_shared.vocabulary.grid import bin_of
from fedehr_shared.vocabulary.histogram import MergedHistogram, merge_bins, quantile_cuts
from fedehr_shared.vocabulary.report import VocabularyReport
from fedehr_shared.wire.payload import Values
from fedehr_shared.wire.vocabulary_payload import report_to_payload

pytestmark = pytest.mark.benchmark

PROGRAM = Path(__file__).parent / "vocabulary_apps" / "large_site.py"
NUM_SUBJECTS = 100_000
FEWER_SUBJECTS = 10_000
MOST_BYTES = 2_000_000


def _program() -> Any:
    spec = importlib.util.spec_from_file_location("large_site", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


large_site = _program()


def _num_bytes(records: RecordDict) -> int:
    return len(recorddict_to_proto(records).SerializeToString())


def _bytes_of(values: dict[str, Values]) -> int:
    return _num_bytes(RecordDict({name: ConfigRecord(dict(v)) for name, v in values.items()}))


def _plain_values(
    report: VocabularyReport, histograms: dict[str, MergedHistogram]
) -> dict[str, Values]:
    """The same as one would write it down first: names again, edges and counts as they are."""
    return {
        "report": {"site": report.site, "num_subjects": report.num_subjects},
        "codes": {
            "code": list(report.num_subjects_by_code),
            "num_subjects": list(report.num_subjects_by_code.values()),
            "child": list(report.parents),
            "parent": list(report.parents.values()),
        },
        "histograms": {
            "code": list(histograms),
            "num_bins": [len(h.counts) for h in histograms.values()],
            "edges": [edge for h in histograms.values() for edge in h.edges],
            "num_subjects": [count for h in histograms.values() for count in h.counts],
        },
        "labels": {"task": [], "num": [], "num_positive": []},
    }


def _uncapped(places: NDArray[np.int64], sizes: NDArray[np.int64]) -> MergedHistogram:
    """Bins of `min_cell` subjects each, however many there are."""
    inner, totals, total = [], [0], 0
    for place, size in zip(places.tolist(), sizes.tolist(), strict=True):
        total += size
        if total - totals[-1] >= large_site.MIN_CELL:
            inner.append(place + 1)
            totals.append(total)
    inner.pop()
    totals[-1] = total
    told = [told_count(number, large_site.MIN_CELL) for number in totals]
    edges = (inner[0] - 1, *inner, inner[-1] + 1)
    return MergedHistogram(edges, tuple(high - low for low, high in pairwise(told)))


def _first_bins(num_subjects: int) -> dict[int, tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """By code, the grid bins of first values and their sizes, from the whole table at once."""
    site = large_site.records(num_subjects)
    training = training_subjects(site.splits)
    parts = [SubjectCodes.of(events, training) for events in site.stream()]
    codes = np.concatenate([part.valued_codes for part in parts])
    places = np.concatenate([part.places for part in parts])
    order = np.argsort(codes, kind="stable")
    found, starts = np.unique(codes[order], return_index=True)
    groups = np.split(places[order].astype(np.int64), starts[1:])
    return {
        code: np.unique(group, return_counts=True)
        for code, group in zip(found.tolist(), groups, strict=True)
    }


def test_a_site_s_answer_is_small_and_its_deciles_are_right(
    record_figures: Callable[..., Path],
) -> None:
    report = count_site(large_site.records(NUM_SUBJECTS), large_site.MIN_CELL)
    report = replace(report, labels={"death": (90_002, 9_075)})
    codes = large_site.code_names()
    bins = {codes[row]: found for row, found in _first_bins(NUM_SUBJECTS).items()}
    uncapped = {code: _uncapped(*bins[code]) for code in report.histograms}
    payload = report_to_payload(report)
    sent = _num_bytes(to_records(payload))
    plain = _bytes_of(_plain_values(report, uncapped))
    parts = {
        f"{record}.{key}": _bytes_of({record: {key: value}})
        for record, values in payload.values.items()
        for key, value in values.items()
    }
    largest = sorted(parts, key=lambda name: -parts[name])[:5]
    off = _most_off(report, bins, uncapped)
    record_figures(
        "vocabulary_bytes",
        {
            "num_codes": len(report.num_subjects_by_code),
            "num_numeric": len(report.histograms),
            "num_subjects": NUM_SUBJECTS,
            "sent_bytes": sent,
            "plain_bytes": plain,
            "ratio": plain / sent,
            "dominated_by": {name: parts[name] for name in largest},
            "deciles_off_by_share_of_subjects_at_most": off,
        },
    )
    assert len(report.num_subjects_by_code) >= large_site.NUM_CODES
    assert len(report.histograms) == large_site.NUM_NUMERIC
    assert sent < MOST_BYTES
    assert plain > 2 * sent
    assert off < 0.01


def _most_off(
    report: VocabularyReport,
    bins: dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]],
    uncapped: dict[str, MergedHistogram],
) -> float:
    """How many of a code's subjects, as a share, lie between a decile read from what is sent
    and the same from all bins; the greatest over codes and deciles."""
    most = 0.0
    for code, told in report.histograms.items():
        places, sizes = bins[code]
        reached = np.concatenate([[0], np.cumsum(sizes)])
        below = [
            reached[np.searchsorted(places, quantile_cuts([h], 10))] for h in (told, uncapped[code])
        ]
        most = max(most, float(np.abs(below[0] - below[1]).max() / reached[-1]))
    return most


def test_deciles_of_one_large_skewed_site(record_figures: Callable[..., Path]) -> None:
    """Values at the grain of their instruments, at one site of 100,000."""
    generator = np.random.default_rng(0)
    kinds = {
        "temperature": np.round(generator.normal(36.8, 0.6, NUM_SUBJECTS), 1),
        "ph": np.round(generator.normal(7.38, 0.07, NUM_SUBJECTS), 2),
        "creatinine": np.round(generator.lognormal(0.0, 0.6, NUM_SUBJECTS), 2),
        "crp": np.round(generator.lognormal(2.5, 1.4, NUM_SUBJECTS), 1),
        "troponin": generator.lognormal(-4, 2.0, NUM_SUBJECTS),
    }
    off = {}
    for name, values in kinds.items():
        places, sizes = np.unique(bin_of(values).astype(np.int64), return_counts=True)
        told = merge_bins(places, sizes, large_site.MIN_CELL)
        assert told is not None
        every = _uncapped(places, sizes)
        reached = np.concatenate([[0], np.cumsum(sizes)])
        below = [reached[np.searchsorted(places, quantile_cuts([h], 10))] for h in (told, every)]
        off[name] = float(np.abs(below[0] - below[1]).max() / NUM_SUBJECTS)
    record_figures("vocabulary_deciles", off)
    assert max(off.values()) < 0.01


def test_counting_is_quicker_than_a_data_frame_and_memory_stays(
    record_figures: Callable[..., Path],
) -> None:
    site = large_site.records(FEWER_SUBJECTS)
    chunks = list(site.stream())
    held = replace(site, stream=lambda: chunks)
    frame = pd.DataFrame(
        {
            "subject_id": np.concatenate([c.subject_ids for c in chunks]),
            "code": np.concatenate([c.code_indices for c in chunks]),
            "value": np.concatenate([c.values for c in chunks]),
        }
    )
    train = {s for s, split in site.splits.items() if split == "train"}

    def by_frame() -> None:
        own = frame[frame["subject_id"].isin(train)]
        counts = own.groupby("code")["subject_id"].nunique()
        firsts = own.dropna(subset="value").drop_duplicates(["subject_id", "code"])
        for code, group in firsts.groupby("code")["value"]:
            if counts[code] >= large_site.MIN_CELL:
                pd.qcut(group, 10, duplicates="drop", retbins=True)

    ours, theirs = [], []
    for _ in range(5):
        ours.append(_cpu_seconds(lambda: count_site(held, large_site.MIN_CELL)))
        theirs.append(_cpu_seconds(by_frame))
    small, large = _counted(FEWER_SUBJECTS), _counted(NUM_SUBJECTS)
    rate = len(frame) / statistics.median(ours)
    figures = {
        "rows": len(frame),
        "rows_a_cpu_second": rate,
        "pandas_rows_a_cpu_second": len(frame) / statistics.median(theirs),
        "ratio": statistics.median(theirs) / statistics.median(ours),
        "peak_bytes_at_2M_rows": small["peak_bytes"],
        "peak_bytes_at_20M_rows": large["peak_bytes"],
        "peak_ratio": large["peak_bytes"] / small["peak_bytes"],
    }
    record_figures("vocabulary_counting", figures)
    assert figures["ratio"] > 1.5
    assert figures["peak_ratio"] < 1.5


def _cpu_seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _counted(num_subjects: int) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(num_subjects)],
        env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout)
    return found
