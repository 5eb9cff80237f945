"""From MEDS to a token store: rows a CPU-second, beside pandas, and peak memory.

All features are on: values, stays, repeats left out, ages, late billing codes.
"""

import gc
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd
import pytest

from fedehr_shared.config.sequence import SequenceConfig
from fedehr_shared.meds.code_table import read_codes
from fedehr_shared.meds.event_stream import stream_events
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.tokens.sequences import build_store
from fedehr_shared.tokens.store import TokenStore
from fedehr_shared.vocabulary.vocabulary import UNKNOWN, Vocabulary

pytestmark = pytest.mark.benchmark
HERE = Path(__file__).parent
NUM_EVENTS, TIMES_MORE = 2_000_000, 10
NUM_ROUNDS = 7
ABOUT = {"vocabulary": "benchmark"}
BUILD = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from meds_corpus import corpus_vocabulary
from test_token_store import build, peak_bytes, process_seconds
site, folder = Path(sys.argv[2]), Path(sys.argv[3])
store, seconds = process_seconds(lambda: build(site, corpus_vocabulary(), folder))
print(json.dumps({"peak": peak_bytes(), "seconds": seconds, "tokens": store.tokens.size}))
"""


def build(site: Path, vocabulary: Vocabulary, folder: Path) -> TokenStore:
    """What a site does before its first round."""
    records = SiteFolder(site)
    codes = read_codes(records)
    build_store(
        stream_events(records, codes), codes, vocabulary, SequenceConfig(),
        min_cell=11, folder=folder, about=ABOUT,
    )  # fmt: skip
    store = TokenStore.load(folder, ABOUT)
    assert store is not None
    return store


def build_with_pandas(site: Path, vocabulary: Vocabulary) -> pd.DataFrame:
    """The usual way: read, map, group; of each subject, lists of the same columns."""
    table = pd.concat([pd.read_parquet(file) for file in SiteFolder(site).data_files])
    table["token"] = table["code"].map(vocabulary.first_tokens).fillna(UNKNOWN).astype("int64")
    names = ["token", "time", "numeric_value", "visit_id"]
    return table.groupby("subject_id", sort=False)[names].agg(list)


def process_seconds(work: Callable[[], Any]) -> tuple[Any, float]:
    """What `work` gives, and the CPU time of all threads meanwhile."""
    gc.collect()
    begin = time.process_time()
    result = work()
    return result, time.process_time() - begin


def peak_bytes() -> int:
    """The most memory that this program has held; a parent's before it does not count."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("the kernel does not tell a process's peak")


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> dict[int, tuple[Path, int]]:
    """Sites of 2 M and 20 M events, with their exact number."""
    made = {}
    for num in (NUM_EVENTS, NUM_EVENTS * TIMES_MORE):
        site = tmp_path_factory.mktemp("corpus") / "site"
        done = subprocess.run(
            [sys.executable, HERE / "meds_corpus.py", site, str(num)],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        made[num] = (site, int(done.stdout))
    return made


def test_rows_a_cpu_second_and_the_ratio_to_pandas(
    corpora: dict[int, tuple[Path, int]],
    record_figures: Callable[[str, dict[str, Any]], Path],
    tmp_path: Path,
) -> None:
    site, num_events = corpora[NUM_EVENTS]
    vocabulary = _vocabulary()
    ours, theirs, reading, opening = [], [], [], []
    for number in range(NUM_ROUNDS):
        folder = tmp_path / f"tokens-{number}"
        store, seconds = process_seconds(lambda folder=folder: build(site, vocabulary, folder))
        ours.append(seconds)
        reading.append(process_seconds(lambda: _read(site))[1])
        opening.append(process_seconds(lambda folder=folder: TokenStore.load(folder, ABOUT))[1])
        grouped, seconds = process_seconds(lambda: build_with_pandas(site, vocabulary))
        theirs.append(seconds)
        num_grouped, num_lists = len(grouped), int(grouped["token"].map(len).sum())
        # Its millions of objects must not slow the next build.
        del grouped
    assert num_lists == num_events
    # Nobody but those with a birth alone is missing, and repeats are left out.
    assert 0 <= num_grouped - store.num_subjects < num_grouped / 20
    assert num_events / 2 < store.tokens.size < num_events
    assert (store.visits > 1).any()
    assert store.back_off.exact is not None
    figures = {
        "num_events": num_events,
        "rows_per_cpu_second": num_events / median(ours),
        "ratio_to_pandas": median(theirs) / median(ours),
        "pandas_rows_per_cpu_second": num_events / median(theirs),
        "share_of_time_reading_parquet": median(reading) / median(ours),
        "seconds_to_open_again": median(opening),
        "bytes_per_token": sum(f.stat().st_size for f in folder.iterdir()) / store.tokens.size,
    }
    record_figures("token_store", figures)
    assert figures["rows_per_cpu_second"] >= 4_000_000
    assert figures["ratio_to_pandas"] >= 15


def test_peak_memory_does_not_grow_with_the_records(
    corpora: dict[int, tuple[Path, int]],
    record_figures: Callable[[str, dict[str, Any]], Path],
    tmp_path: Path,
) -> None:
    peaks, rates = [], []
    for site, num_events in corpora.values():
        done = subprocess.run(
            [sys.executable, "-c", BUILD, HERE, site, tmp_path / str(num_events)],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        told = json.loads(done.stdout)
        assert told["tokens"] > num_events / 2
        peaks.append(told["peak"])
        rates.append(num_events / told["seconds"])
    figures = {
        "peak_bytes_2M": peaks[0],
        "peak_bytes_20M": peaks[1],
        "ratio_of_peaks": peaks[1] / peaks[0],
        "rows_per_cpu_second_2M_from_cold": rates[0],
        "rows_per_cpu_second_20M_from_cold": rates[1],
    }
    record_figures("token_store_memory", figures)
    assert figures["ratio_of_peaks"] <= 1.1


def _vocabulary() -> Vocabulary:
    done = subprocess.run(
        [sys.executable, "-c",
         "import sys; sys.path.insert(0, sys.argv[1]); import meds_corpus; "
         "print(meds_corpus.corpus_vocabulary().to_json())", HERE],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return Vocabulary.from_json(done.stdout)


def _read(site: Path) -> None:
    records = SiteFolder(site)
    for _ in stream_events(records, read_codes(records)):
        pass
