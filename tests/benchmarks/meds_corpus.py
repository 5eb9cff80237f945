"""Writes a MEDS site of made-up records: `python meds_corpus.py FOLDER NUM_EVENTS`.

Lengths of records are lognormal (median 117, mean about 244, at most 5,000 events), codes
follow a Zipf law of exponent 1.05 over 8,000, 47 % of events have a value, four of five lie in
a hospital stay, and one in twenty is a billing code, known 72 hours late.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.meds.schema import BIRTH_CODE, CODES_SCHEMA
from fedehr_shared.meds.shards import ShardWriter
from fedehr_shared.vocabulary.grid import bin_of
from fedehr_shared.vocabulary.vocabulary import Vocabulary

NUM_CODES = 8_000
NUM_KNOWN_CODES = 7_900
PIECE_EVENTS = 250_000
HOUR = 3_600_000_000
DECILES = np.asarray([-1.28, -0.84, -0.52, -0.25, 0.0, 0.25, 0.52, 0.84, 1.28])
"""Of the normal distribution."""
_SEX, _BIRTH = NUM_CODES, NUM_CODES + 1
_generator = np.random.default_rng(20)
_SHARES = np.arange(1, NUM_CODES + 1) ** -1.05
_SHARES /= _SHARES.sum()
_KINDS = np.argsort(_generator.random(NUM_CODES))
_MASS = np.cumsum(_SHARES[_KINDS])
IS_VALUED = np.zeros(NUM_CODES + 2, dtype=bool)
IS_VALUED[_KINDS[_MASS <= 0.475]] = True
IS_LATE = np.zeros(NUM_CODES + 2, dtype=bool)
IS_LATE[_KINDS[_MASS > 0.95]] = True
LOCATIONS = _generator.normal(3.0, 1.5, NUM_CODES + 2)
NAMES = [f"CODE//{number:05d}//unit" for number in range(NUM_CODES)] + ["SEX//F", BIRTH_CODE]


def write_corpus(folder: Path, num_events: int) -> int:
    """Write the site; returns the number of events, a little over what was asked for."""
    (folder / "metadata").mkdir(parents=True)
    columns = {"code": NAMES, "delay_hours": np.where(IS_LATE, 72.0, None)}
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    pq.write_table(pa.Table.from_pylist(rows, CODES_SCHEMA), SiteFolder(folder).codes_file)
    generator = np.random.default_rng(7)
    subject = 1_000
    with ShardWriter(folder / "data") as writer:
        while writer.num_events < num_events:
            wanted = min(PIECE_EVENTS, num_events - writer.num_events)
            lengths = _lengths(generator, wanted)
            writer.write(_piece(generator, lengths, subject))
            subject += 7 * lengths.size
    return writer.num_events


def corpus_vocabulary() -> Vocabulary:
    """What a federation would have agreed on: deciles for the codes with values."""
    cuts = [
        tuple(np.unique(bin_of(np.exp(location + 0.3 * DECILES))).tolist()) if valued else None
        for location, valued in zip(LOCATIONS, IS_VALUED, strict=True)
    ]
    return Vocabulary(tuple(NAMES[:NUM_KNOWN_CODES]), tuple(cuts[:NUM_KNOWN_CODES]))


def _lengths(generator: np.random.Generator, wanted: int) -> NDArray[np.int64]:
    drawn = np.clip(generator.lognormal(np.log(117), 1.22, wanted // 20 + 10), 1, 5_000)
    lengths = np.rint(drawn).astype(np.int64)
    return lengths[: int(np.searchsorted(np.cumsum(lengths), wanted)) + 1]


def _piece(
    generator: np.random.Generator, lengths: NDArray[np.int64], first_subject: int
) -> pa.Table:
    """Whole subjects: sex, birth, then stays of 40 events, every fifth stretch outside one."""
    size = int(lengths.sum())
    whose = np.repeat(np.arange(lengths.size), lengths)
    place = np.arange(size) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    codes = np.searchsorted(np.cumsum(_SHARES), generator.random(size)).clip(max=NUM_CODES - 1)
    codes[place == 0], codes[place == 1] = _SEX, _BIRTH
    stretch = place // 40
    begins = np.repeat(generator.integers(350_000, 430_000, lengths.size), lengths)
    times = (begins + stretch * 2_000) * HOUR + (place % 40) * HOUR // 2
    times[place == 1] = 0
    in_stay = (stretch % 5 != 4) & (place > 1)
    noise = 0.3 * generator.standard_normal(size)
    values = np.round(np.exp(LOCATIONS[codes] + noise), 1).astype(np.float32)
    columns: dict[str, Any] = {
        "subject_id": pa.array(first_subject + 7 * whose),
        "time": pa.array(times, mask=place == 0).cast(pa.timestamp("us")),
        "code": pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), NAMES),
        "numeric_value": pa.array(values, mask=~IS_VALUED[codes]),
        "visit_id": pa.array(whose * 200 + stretch, mask=~in_stay),
    }
    return pa.table(columns)


if __name__ == "__main__":
    print(write_corpus(Path(sys.argv[1]), int(sys.argv[2])))
