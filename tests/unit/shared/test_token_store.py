"""A token store is whole or says which file is not; one made from other things is made anew."""

import hashlib
import json
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedehr_shared.config.sequence import SequenceConfig
from fedehr_shared.errors import DataError
from fedehr_shared.meds.code_table import CodeTable
from fedehr_shared.meds.events import NO_TIME, NO_VISIT, Events
from fedehr_shared.tokens.back_off import BackOffCounts, BackOffShares
from fedehr_shared.tokens.build_lock import build_lock
from fedehr_shared.tokens.sequences import build_store
from fedehr_shared.tokens.sexes import FEMALE
from fedehr_shared.tokens.store import MANIFEST_FILE, TokenStore
from fedehr_shared.tokens.store_manifest import DTYPES, Manifest
from fedehr_shared.vocabulary.resolution import ANCESTOR, BUCKET, EXACT, UNKNOWN_STEP
from fedehr_shared.vocabulary.vocabulary import UNKNOWN, Vocabulary

ABOUT = {"vocabulary": "digest"}
ARRAYS = tuple(DTYPES)
HOUR = 3_600_000_000
NAMES = ("MEDS_BIRTH", "SEX//F", "HR")
CODES = CodeTable(NAMES, (None,) * 3, {}, np.zeros(3, np.float32))
VOCABULARY = Vocabulary(("HR",), (None,))
WHOLE = SequenceConfig(skip_repeats=False)


def _chunk(*rows: tuple[int, int, str]) -> Events:
    """Rows of subject, hour (-1: static) and code."""
    subjects, hours, codes = zip(*rows, strict=True)
    return Events(
        np.asarray(subjects, np.int64),
        np.asarray([NO_TIME if hour < 0 else hour * HOUR for hour in hours], np.int64),
        np.asarray([NAMES.index(code) for code in codes], np.int32),
        np.full(len(rows), np.nan, np.float32),
        np.full(len(rows), NO_VISIT, np.int64),
        NAMES,
    )


def _build(folder: Path, *chunks: Events, about: dict[str, str] = ABOUT) -> TokenStore:
    build_store(chunks, CODES, VOCABULARY, WHOLE, min_cell=2, folder=folder, about=about)
    store = TokenStore.load(folder, about)
    assert store is not None
    return store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = ((7, -1, "SEX//F"), (9, 0, "MEDS_BIRTH"), (9, 1, "HR"), (9, 3, "HR"))
    _build(tmp_path / "tokens", _chunk(*rows))
    return tmp_path / "tokens"


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that every example leaves as it found it."""
    folder = tmp_path_factory.mktemp("kept") / "tokens"
    _build(folder, *(_chunk((s, -1, "SEX//F"), (s, 2, "HR"), (s, 30, "HR")) for s in range(20)))
    return folder


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("fault", ["gone", "empty", "cut", "long", "text", "other items"])
def test_a_damaged_array_is_named(folder: Path, name: str, fault: str) -> None:
    file = folder / f"{name}.npy"
    whole = file.read_bytes()
    if fault == "gone":
        file.unlink()
    elif fault == "other items":
        np.save(file, np.load(file) + 1)
    else:
        file.write_bytes(
            {"empty": b"", "cut": whole[:-3], "long": whole + b"\0", "text": b"not an array"}[fault]
        )
    with pytest.raises(DataError, match=rf"damaged: {name}\.npy.*Remove it"):
        TokenStore.load(folder, ABOUT)


@settings(
    deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(name=st.sampled_from([*(f"{name}.npy" for name in ARRAYS), MANIFEST_FILE]), data=st.data())
def test_a_flipped_byte_is_found_wherever_it_lies(
    kept: Path, name: str, data: st.DataObject
) -> None:
    file = kept / name
    whole = file.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    flipped = bytearray(whole)
    flipped[place] ^= data.draw(st.integers(1, 255))
    assert TokenStore.load(kept, ABOUT) is not None
    try:
        _overwrite(file, bytes(flipped))
        with pytest.raises(DataError, match=rf"damaged: {name}"):
            TokenStore.load(kept, ABOUT)
    finally:
        _overwrite(file, whole)


def _overwrite(file: Path, content: bytes) -> None:
    """In place, with a time that differs: a clock tick may be longer than an example."""
    file.write_bytes(content)
    _ticks.append(_ticks[-1] + 1)
    os.utime(file, ns=(_ticks[-1], _ticks[-1]))


_ticks = [time.time_ns()]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", '{"vocabulary": "digest"}', '{"format": 2}', '{"format": 3}']
)
def test_a_damaged_manifest_is_told(folder: Path, text: str) -> None:
    (folder / MANIFEST_FILE).write_text(text)
    with pytest.raises(DataError, match=r"manifest\.json"):
        TokenStore.load(folder, ABOUT)


@pytest.mark.parametrize("number", [1, 2])
def test_a_store_of_an_older_format_is_made_anew(folder: Path, number: int) -> None:
    _make_older(folder, number)
    assert TokenStore.load(folder, ABOUT) is None
    store = _build(folder, _chunk((1, -1, "SEX//F"), (1, 0, "HR")))
    assert store.num_subjects == 1
    assert store.sexes.tolist() == [FEMALE]
    assert sorted(f.name for f in folder.iterdir()) == sorted(
        [MANIFEST_FILE, *(f"{name}.npy" for name in ARRAYS)]
    )


def _make_older(folder: Path, number: int) -> None:
    """What an older version of fedehr wrote for the same records."""
    (folder / "sexes.npy").unlink()
    content = json.loads((folder / MANIFEST_FILE).read_text())
    del content["files"]["sexes"], content["sha256"]
    content["format"] = number
    if number == 2:
        text = json.dumps(content, indent=2) + "\n"
        content["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    (folder / MANIFEST_FILE).write_text(json.dumps(content, indent=2) + "\n")


def test_without_a_manifest_or_a_folder_there_is_none(folder: Path) -> None:
    assert TokenStore.load(folder.parent / "elsewhere", ABOUT) is None
    (folder / MANIFEST_FILE).unlink()
    assert TokenStore.load(folder, ABOUT) is None


def test_one_made_from_other_things_is_none(folder: Path) -> None:
    assert TokenStore.load(folder, {"vocabulary": "other"}) is None
    assert TokenStore.load(folder, {**ABOUT, "records": "more"}) is None


def test_a_failed_build_leaves_the_old_store_and_no_rest(folder: Path) -> None:
    def chunks() -> Iterator[Events]:
        yield _chunk((1, 0, "HR"))
        raise DataError("the second shard is damaged")

    with pytest.raises(DataError, match="second shard"):
        build_store(chunks(), CODES, VOCABULARY, WHOLE, min_cell=2, folder=folder, about=ABOUT)
    old = TokenStore.load(folder, ABOUT)
    assert old is not None
    assert old.subject_ids.tolist() == [7, 9]
    assert [f.name for f in folder.parent.iterdir()] == ["tokens"]


def test_a_manifest_holds_counts_and_no_path_and_no_subject(folder: Path) -> None:
    content = json.loads((folder / MANIFEST_FILE).read_text())
    assert set(content) == {
        "format", "about", "num_subjects", "num_tokens", "back_off", "files", "sha256"
    }  # fmt: skip
    assert (content["num_subjects"], content["num_tokens"]) == (2, 3)
    assert set(content["files"]) == set(ARRAYS)
    assert Manifest.from_json((folder / MANIFEST_FILE).read_text()) is not None


def test_a_subject_without_static_events_with_one_event_and_with_100_000(tmp_path: Path) -> None:
    num = 100_000
    long = Events(
        np.full(num, 3, np.int64),
        np.arange(num) * HOUR,
        np.full(num, 2, np.int32),
        np.full(num, np.nan, np.float32),
        np.full(num, NO_VISIT, np.int64),
        NAMES,
    )
    store = _build(
        tmp_path / "tokens",
        _chunk((8, 5, "HR"), (2, -1, "SEX//F"), (6, 4, "MEDS_BIRTH"), (5, 6, "HR"), (5, 9, "HR")),
        long,
        _chunk((4, -1, "SEX//F"), (4, 7, "HR")),
    )
    # A birth alone gives no token, so that its subject is not there.
    assert store.subject_ids.tolist() == [8, 2, 5, 3, 4]
    assert store.rows_of(np.asarray([3, 6, 2])).tolist() == [3, -1, 1]
    assert np.diff(store.offsets).tolist() == [1, 1, 2, num, 2]
    heart = int(store.tokens[0])
    assert store.tokens[:4].tolist() == [heart, UNKNOWN, heart, heart]
    assert set(store.tokens[4:-2].tolist()) == {heart}
    assert store.hours[4:-2].tolist() == list(range(num))
    # What holds for all time stands where the first timed event does.
    assert store.times[-2:].tolist() == [7 * HOUR] * 2


def test_a_site_of_births_alone_has_an_empty_store(tmp_path: Path) -> None:
    store = _build(tmp_path / "tokens", _chunk((6, 4, "MEDS_BIRTH")))
    assert store.num_subjects == 0
    assert store.offsets.tolist() == [0]
    assert store.rows_of(np.asarray([6])).tolist() == [-1]


def _open_or_build(folder: Path, about: dict[str, str], subject: int) -> None:
    """What a site does at each round; run in processes of its own."""
    with build_lock(folder):
        store = TokenStore.load(folder, about)
        if store is None:
            store = _build(folder, _chunk((subject, 1, "HR"), (subject, 2, "HR")), about=about)
    assert store.tokens.size == 2
    assert store.subject_ids.tolist() == [subject]


def _open_again_and_again(folder: Path, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for subject in (1, 2):
            store = TokenStore.load(folder, {"subject": str(subject)})
            assert store is None or store.subject_ids.tolist() == [subject]


def _build_again_and_again(folder: Path, subject: int, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        _open_or_build(folder, {"subject": str(subject)}, subject)


def test_several_processes_build_and_open_at_once(tmp_path: Path) -> None:
    """Two make the store of the same name from different things, two only open it."""
    folder = tmp_path / "tokens"
    spawn = multiprocessing.get_context("spawn")
    processes = [
        *(spawn.Process(target=_build_again_and_again, args=(folder, s, 3.0)) for s in (1, 2)),
        *(spawn.Process(target=_open_again_and_again, args=(folder, 3.0)) for _ in range(2)),
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0, 0]
    assert sorted(f.name for f in tmp_path.iterdir()) == [".tokens.lock", "tokens"]


def _build_slowly(folder: Path) -> None:
    def chunks() -> Iterator[Events]:
        yield _chunk((1, 0, "HR"))
        (folder.parent / "begun").touch()
        time.sleep(60)

    with build_lock(folder):
        build_store(chunks(), CODES, VOCABULARY, WHOLE, min_cell=2, folder=folder, about=ABOUT)


def test_a_killed_build_leaves_nothing_under_the_name_and_does_not_block(tmp_path: Path) -> None:
    folder = tmp_path / "tokens"
    process = multiprocessing.get_context("spawn").Process(target=_build_slowly, args=(folder,))
    process.start()
    deadline = time.monotonic() + 60
    while not (tmp_path / "begun").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(60)
    assert TokenStore.load(folder, ABOUT) is None
    assert not folder.exists()
    _open_or_build(folder, ABOUT, 4)
    assert sorted(f.name for f in tmp_path.iterdir()) == [".tokens.lock", "begun", "tokens"]


def _shares(exact: int, ancestor: int, bucket: int, unknown: int) -> BackOffShares:
    """So many subjects at each step, one event each; steps share no subject."""
    counts = BackOffCounts(np.asarray([0, 1, 2, 3], np.int8), np.ones(4, bool))
    steps = np.repeat([EXACT, ANCESTOR, BUCKET, UNKNOWN_STEP], [exact, ancestor, bucket, unknown])
    counts.add(steps, np.arange(steps.size))
    return counts.shares(min_cell=5)


def test_shares_add_up_where_all_may_be_told() -> None:
    assert _shares(20, 10, 5, 5) == BackOffShares(0.5, 0.25, 0.125, 0.125)
    assert _shares(20, 20, 0, 0) == BackOffShares(0.5, 0.5, 0.0, 0.0)


@pytest.mark.parametrize(
    "counts", [(20, 10, 0, 3), (20, 3, 9, 10), (3, 20, 7, 10), (20, 0, 4, 0), (20, 2, 2, 30)]
)
def test_a_withheld_share_cannot_be_found_by_subtraction(counts: tuple[int, ...]) -> None:
    shares = _shares(*counts)
    told = [shares.exact, shares.ancestor, shares.bucket, shares.unknown]
    small = [i for i, num in enumerate(counts) if 0 < num < 5]
    assert all(told[i] is None for i in small)
    assert sum(counts[i] for i, share in enumerate(told) if share is None) >= 5


def test_small_shares_cannot_be_found_together() -> None:
    # Three and one subjects: told alone, the large share would count the four by subtraction.
    assert _shares(20, 3, 0, 1) == BackOffShares(None, None, 0.0, None)
    assert _shares(20, 3, 0, 2) == BackOffShares(0.8, None, 0.0, None)


def test_subjects_at_two_withheld_steps_count_once() -> None:
    """Four subjects at two steps each are four, not eight: too few to hide behind each other."""
    counts = BackOffCounts(np.asarray([0, 1, 2, 3], np.int8), np.ones(4, bool))
    counts.add(np.asarray([ANCESTOR, UNKNOWN_STEP] * 4), np.arange(0, 8, 2))
    counts.add(np.zeros(20, dtype=np.intp), np.arange(20))
    assert counts.shares(min_cell=5) == BackOffShares(None, None, 0.0, None)
