"""Bytes that nobody foresaw: every case ends in a whole site or in a refusal of ours.

A refusal names no content, and leaves nothing behind. In `make test` a few hundred cases
of each kind run; `long` runs over ten thousand.
"""

import shutil
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from fedehr_client.importers.csv.importer import CsvImporter
from fedehr_client.importers.csv.mapping import Mapping
from fedehr_client.importers.csv.mapping_sql import MappingSql
from fedehr_client.importers.engine.settings import ImportSettings
from fedehr_client.importers.engine.write import write_records
from fedehr_shared.config.section import parse
from fedehr_shared.errors import ConfigError, DataError

sys.path.insert(0, str(Path(__file__).parent))
from hostile import CANARY, MAPPING, csv_bytes, mapping_values, parquet_bytes

SOUND = tomllib.loads(MAPPING)
NUM_INNER, NUM_WHOLE = 300, 40
NUM_INNER_LONG, NUM_WHOLE_LONG = 4_000, 1_000
ALL_BAD = ImportSettings(max_bad_share=1.0, memory_limit_bytes=8 * 10**9)


def _cases(num: int) -> Callable[..., Any]:
    checks = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
    # Shrinking a failure of whole imports takes longer than finding it.
    return settings(
        max_examples=num,
        deadline=None,
        suppress_health_check=checks,
        database=None,
        phases=(Phase.generate,),
    )


@pytest.fixture
def seen(request: pytest.FixtureRequest) -> Iterator[Counter[str]]:
    """How the cases ended; a test whose cases all end alike tests little."""
    counts: Counter[str] = Counter()
    yield counts
    print(f"\n{request.node.name}: {sum(counts.values()):,} cases, {dict(counts)}")


def _import(place: Path, files: dict[str, bytes], mapping: Mapping) -> str:
    """Import; returns how it ended, having checked what must hold however it ends."""
    source, out = place / "source", place / "site"
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir()
    for name, content in files.items():
        (source / name).write_bytes(content)
    try:
        write_records(CsvImporter(source, mapping, place), out, ALL_BAD, lambda step: None)
    except (ConfigError, DataError) as error:
        _check_refusal(str(error), place)
        return type(error).__name__
    _check_site(out)
    shutil.rmtree(out)
    assert [file.name for file in place.iterdir()] == ["source"]
    return "imported"


def _check_refusal(message: str, place: Path) -> None:
    assert CANARY.lower() not in message.lower()
    assert len(message) < 2_000
    assert [file.name for file in place.iterdir()] == ["source"]


def _check_site(out: Path) -> None:
    codes = set(pq.read_table(out / "metadata" / "codes.parquet").column("code").to_pylist())
    for file in (out / "data").glob("*.parquet"):
        table = pq.read_table(file)
        assert table.num_rows > 0
        assert set(table.column("code").to_pylist()) <= codes
        order = [
            (row["subject_id"], row["time"] is not None, str(row["time"]))
            for row in table.select(["subject_id", "time"]).to_pylist()
        ]
        assert order == sorted(order)
    about = (out / "metadata" / "import.json").read_text()
    assert CANARY not in about


def _check_mapping(values: dict[str, Any]) -> str:
    """Validate, and compile what is valid; whole imports of some follow in another test."""
    try:
        mapping = parse(values, Mapping, "mapping.toml")
        MappingSql(mapping, frozenset(mapping.table_names()))
    except ConfigError:
        return "refused"
    return "valid"


def _inner_mappings(num: int, seen: Counter[str]) -> None:
    @_cases(num)
    @given(mapping_values(SOUND))
    def run(values: dict[str, Any]) -> None:
        seen[_check_mapping(values)] += 1

    run()


def _toml_bytes(num: int, place: Path, seen: Counter[str]) -> None:
    file = place / "mapping.toml"
    sound = MAPPING.encode()

    @_cases(num)
    @given(st.integers(0, len(sound)), st.binary(max_size=6), st.integers(0, 30))
    def run(at: int, added: bytes, removed: int) -> None:
        file.write_bytes(sound[:at] + added + sound[at + removed :])
        try:
            Mapping.load(file)
        except ConfigError:
            seen["refused"] += 1
        else:
            seen["valid"] += 1

    run()


def _whole_imports(
    num: int, content: SearchStrategy[bytes], ending: str, place: Path, seen: Counter[str]
) -> None:
    mapping = parse(SOUND, Mapping, "mapping.toml")

    @_cases(num)
    @given(content, st.one_of(st.none(), content))
    def run(first: bytes, second: bytes | None) -> None:
        files = {f"x{ending}": first} | ({f"y{ending}": second} if second is not None else {})
        seen[_import(place, files, mapping)] += 1

    run()


def _whole_mappings(num: int, place: Path, seen: Counter[str]) -> None:
    table = (
        "pid,t,c,n,unit,stay,age\n"
        f"1,2020-01-02 03:04:05,{CANARY},5,mg,7,50\n2,2021-02-03,b,,,,> 89\n"
    ).encode()

    @_cases(num)
    @given(mapping_values(SOUND))
    def run(values: dict[str, Any]) -> None:
        try:
            mapping = parse(values, Mapping, "mapping.toml")
        except ConfigError:
            seen["refused"] += 1
            return
        seen[_import(place, {"x.csv": table, "y.csv": table}, mapping)] += 1

    run()


def test_mappings_are_taken_or_refused(seen: Counter[str]) -> None:
    _inner_mappings(NUM_INNER, seen)
    assert len(seen) == 2


def test_bytes_of_a_mapping_are_taken_or_refused(tmp_path: Path, seen: Counter[str]) -> None:
    _toml_bytes(NUM_INNER, tmp_path, seen)
    assert len(seen) == 2


def test_csv_bytes_are_imported_or_refused(tmp_path: Path, seen: Counter[str]) -> None:
    _whole_imports(NUM_WHOLE, csv_bytes(), ".csv", tmp_path, seen)


def test_parquet_bytes_are_imported_or_refused(tmp_path: Path, seen: Counter[str]) -> None:
    _whole_imports(NUM_WHOLE, parquet_bytes(), ".parquet", tmp_path, seen)


def test_odd_mappings_import_or_are_refused(tmp_path: Path, seen: Counter[str]) -> None:
    _whole_mappings(NUM_WHOLE, tmp_path, seen)


@pytest.mark.long
def test_over_ten_thousand_cases(tmp_path: Path, seen: Counter[str]) -> None:
    _inner_mappings(NUM_INNER_LONG, seen)
    _toml_bytes(NUM_INNER_LONG, tmp_path, seen)
    whole = tmp_path / "whole"
    whole.mkdir()
    _whole_imports(NUM_WHOLE_LONG, csv_bytes(), ".csv", whole, seen)
    _whole_imports(NUM_WHOLE_LONG // 2, parquet_bytes(), ".parquet", whole, seen)
    _whole_mappings(NUM_WHOLE_LONG, whole, seen)
    assert sum(seen.values()) >= 10_000
    assert seen["imported"] > 100
    assert seen["DataError"] > 100
