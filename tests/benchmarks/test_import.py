"""Ten million OMOP measurements from csv.gz to sorted MEDS, within a limit of 300 MB."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

NUM_ROWS = 10_000_000
LIMIT_BYTES = 300_000_000
ALLOWED = 1.3

_MEASUREMENT = """
SELECT i AS measurement_id, 1 + (hash(i) % 50000) AS person_id,
    3000000 + (hash(i + 7) % 800)::INT AS measurement_concept_id,
    CAST(moment AS DATE) AS measurement_date, moment AS measurement_datetime,
    NULL AS measurement_time, 32817 AS measurement_type_concept_id, 4172703 AS operator_concept_id,
    round((hash(i + 11) % 100000) / 100.0, 2) AS value_as_number, 0 AS value_as_concept_id,
    8713 AS unit_concept_id, NULL AS range_low, NULL AS range_high, NULL AS provider_id,
    1 + hash(i) % 200000 AS visit_occurrence_id, NULL AS visit_detail_id,
    'LAB' || (hash(i + 7) % 800) AS measurement_source_value,
    0 AS measurement_source_concept_id, 'mg/dL' AS unit_source_value, NULL AS value_source_value
FROM (SELECT i, TIMESTAMP '2015-01-01' + to_seconds((hash(i + 3) % 172800000)::INT) AS moment
    FROM range({num_rows}) AS t(i))"""
_PERSON = """
SELECT 1 + i AS person_id, 8507 + 25 * (i % 2)::INT AS gender_concept_id,
    1930 + (i % 80) AS year_of_birth, 1 AS month_of_birth, 1 AS day_of_birth
FROM range(50000) AS t(i)"""
_CONCEPT = """
SELECT 3000000 + i AS concept_id, 'measurement ' || i AS concept_name,
    'Measurement' AS domain_id, 'LOINC' AS vocabulary_id, 'Lab Test' AS concept_class_id,
    'S' AS standard_concept, i || '-' || i % 10 AS concept_code
FROM range(800) AS t(i)
UNION ALL VALUES (8713, 'milligram per deciliter', 'Unit', 'UCUM', 'Unit', 'S', 'mg/dL'),
    (8507, 'MALE', 'Gender', 'Gender', 'Gender', 'S', 'M'),
    (8532, 'FEMALE', 'Gender', 'Gender', 'Gender', 'S', 'F')"""


@dataclass(frozen=True)
class Ended:
    """A finished process: wall and CPU seconds, peak resident bytes."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    output: str


# The kernel counts the memory of the process that starts another one as the other's peak:
# a small process in between keeps this one's out.
_LAUNCHER = """
import json, os, subprocess, sys, time
started = time.monotonic()
process = subprocess.Popen(sys.argv[2:], stdout=open(sys.argv[1], "w"))
_, status, usage = os.wait4(process.pid, 0)
print(json.dumps([os.waitstatus_to_exitcode(status), time.monotonic() - started,
                  usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024]))
"""


def _run(command: list[str], folder: Path) -> Ended:
    told = folder / "told"
    launch = [sys.executable, "-c", _LAUNCHER, str(told), *command]
    done = subprocess.run(launch, stdout=subprocess.PIPE, text=True, check=True)
    status, seconds, cpu_seconds, peak_bytes = json.loads(done.stdout)
    assert status == 0
    return Ended(seconds, cpu_seconds, peak_bytes, told.read_text())


@pytest.fixture(scope="module")
def cdm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cdm")
    with duckdb.connect() as connection:
        connection.execute("SET enable_progress_bar = false")
        for name, query in (
            ("measurement", _MEASUREMENT.format(num_rows=NUM_ROWS)),
            ("person", _PERSON),
            ("concept", _CONCEPT),
        ):
            connection.execute(f"COPY ({query}) TO '{folder / name}.csv' (FORMAT csv, HEADER)")
    subprocess.run(["gzip", "-1", str(folder / "measurement.csv")], check=True)
    return folder


@pytest.mark.benchmark
def test_ten_million_measurements_within_300_mb(
    cdm: Path, tmp_path: Path, record_figures: Callable[[str, dict[str, Any]], Path]
) -> None:
    file = cdm / "measurement.csv.gz"
    reading = _run(["sh", "-c", f"zcat '{file}' | wc -l"], tmp_path)
    assert int(reading.output) == NUM_ROWS + 1
    out = tmp_path / "site"
    program = str(Path(sys.executable).with_name("fedehr-client"))
    limit = f"{LIMIT_BYTES // 10**6}MB"
    options = ["--out", str(out), "--memory-limit", limit, "--json"]
    importing = _run([program, "import", "omop", str(cdm), *options], tmp_path)
    told = json.loads(importing.output)
    assert told["tables"]["measurement"]["num_rows"] == NUM_ROWS
    assert told["num_events"] > 0.99 * NUM_ROWS
    files = sorted((out / "data").iterdir())
    assert sum(pq.read_metadata(file).num_rows for file in files) == told["num_events"]
    record_figures(
        "import",
        {
            "num_rows": NUM_ROWS,
            "memory_limit_mb": LIMIT_BYTES / 1e6,
            "peak_mb": importing.peak_bytes / 1e6,
            "peak_of_limit": importing.peak_bytes / LIMIT_BYTES,
            "rows_per_second": NUM_ROWS / importing.seconds,
            "rows_per_cpu_second": NUM_ROWS / importing.cpu_seconds,
            "zcat_rows_per_second": NUM_ROWS / reading.seconds,
            "zcat_rows_per_cpu_second": NUM_ROWS / reading.cpu_seconds,
            "source_mb": file.stat().st_size / 1e6,
            "shards_mb": sum(file.stat().st_size for file in files) / 1e6,
            "num_shards": len(files),
        },
    )
    assert importing.peak_bytes <= ALLOWED * LIMIT_BYTES
