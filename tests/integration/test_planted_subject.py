"""A subject whom nothing resembles is in one hospital, and in nothing that leaves it."""

import base64
import contextlib
import logging
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedehr_shared.errors import FedehrError
from fedehr_shared.meds.folder import FederationFolder
from fedehr_shared.meds.reader import read_splits
from fedehr_shared.meds.schema import SPLITS
from fedehr_shared.wire.codec.record import encode
from fedehr_shared.wire.payload import Payload

LOCAL = {
    "mechanism": "local", "noise_multiplier": 1.0, "target_delta": 1e-4, "nominal_subjects": 200,
    "pretraining": {"sample_rate": 1.0}, "finetuning": {"sample_rate": 1.0},
}  # fmt: skip
STUDIES: dict[str, dict[str, Any]] = {
    "without noise": {
        "evaluation": {"calibration": "platt", "subgroups": ["sex", "age"]},
        "loss": {"class_weights": "balanced"},
    },
    "with noise": {
        "privacy": LOCAL, "vocabulary": {"noise_epsilon": 50.0, "noise_delta": 1e-6},
        "finetuning": {"tuning": "full"},
    },
    "withheld, adapters in int8": {
        "privacy": {**LOCAL, "metrics": "withheld"}, "finetuning": {"tuning": "lora"},
        "exchange": {"dtype": "int8"},
    },
}  # fmt: skip
PLACE = 0
"""The largest of the hospitals: its own would be most of a mean."""


@pytest.fixture(scope="module")
def subjects(planted_subject: Any) -> list[Any]:
    """One of each split."""
    return [planted_subject.planted(seed, split) for seed, split in enumerate(SPLITS)]


@pytest.fixture(scope="module")
def haunted(hospitals: Any, subjects: list[Any], tmp_path_factory: Any) -> Any:
    """The hospitals, with the planted subjects in one."""
    folder = tmp_path_factory.mktemp("haunted") / "hospitals"
    shutil.copytree(hospitals.path, folder)
    federation = FederationFolder(folder)
    site = federation.sites[PLACE]
    splits = read_splits(site)
    for one in subjects:
        one.plant(site, like=next(s for s, split in splits.items() if split == one.split))
    return federation


@pytest.fixture(scope="module", params=STUDIES)
def left(
    request: pytest.FixtureRequest,
    make_study: Callable[..., Any],
    haunted: Any,
    run_study_in_process: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Any, str]:
    """A study's run, and what both ends logged, down to the last detail."""
    folder = tmp_path_factory.mktemp("left")
    log = folder / "both.log"
    handler = logging.FileHandler(log)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)

    def lapse(sent: Any) -> list[Any]:
        # An answer that is damaged on the way: the coordinator says so, and asks again.
        if (sent.phase, sent.round, sent.node, sent.attempt) == ("finetuning", 1, PLACE, 1):
            return [replace(sent.payload, tensors={"update": b"damaged"})]
        return [sent.payload]

    study = make_study(**STUDIES[request.param])
    try:
        run = run_study_in_process(study, haunted.sites, folder, alter=lapse)
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        handler.close()
    assert run.result["status"] == "completed"
    # Noise may leave the smallest site without a code that it may name.
    assert "hospital-1" in run.result["sites"]
    return run, log.read_text()


def test_they_were_counted_and_trained_on(left: tuple[Any, str], subjects: list[Any]) -> None:
    """Or else nothing would be found, whatever leaked."""
    run, _ = left
    work = sorted(run.work.iterdir())[PLACE]
    kept = b"".join(file.read_bytes() for file in sorted(work.rglob("*")) if file.is_file())
    for one in subjects:
        assert "identifier, int64" in one.traces(kept)


def test_no_answer_has_a_trace(
    left: tuple[Any, str], subjects: list[Any], planted_subject: Any
) -> None:
    run, _ = left
    contents = [
        content
        for message in run.messages
        if message.direction == "up"
        for content in planted_subject.contents_of(message.payload)
    ]
    assert sum(map(len, contents)) > 1_000_000
    found = {trace for one in subjects for content in contents for trace in one.traces(content)}
    assert found == set()


def test_no_request_of_later_rounds_has_a_trace(
    left: tuple[Any, str], subjects: list[Any], planted_subject: Any
) -> None:
    """What the other hospitals are sent: vocabulary, weights and moments."""
    run, _ = left
    for message in run.messages:
        if message.direction == "down":
            for content in planted_subject.contents_of(message.payload):
                assert [one.traces(content) for one in subjects] == [[]] * len(subjects)


def test_no_file_of_the_coordinator_has_a_trace(
    left: tuple[Any, str], subjects: list[Any], planted_subject: Any
) -> None:
    run, _ = left
    files = dict(planted_subject.files_of([run.folder]))
    names = {file.name for file in files}
    assert {"result.json", "progress.jsonl", "vocabulary.json", "evaluation.json"} <= names
    for file, content in files.items():
        for one in subjects:
            assert one.traces(content) == [], file.name


def test_no_log_has_a_trace(left: tuple[Any, str], subjects: list[Any]) -> None:
    _, log = left
    assert "computes on cpu" in log
    for one in subjects:
        assert one.traces(log.encode()) == []


def test_what_the_site_says_it_sent_and_charged_has_no_trace(
    left: tuple[Any, str], subjects: list[Any], planted_subject: Any
) -> None:
    """What a hospital may show to others: the copy of the first answer, and the ledger."""
    run, _ = left
    folders = [
        folder / name
        for folder in run.work.iterdir()
        for name in ("sent", "privacy")
        if (folder / name).exists()
    ]
    assert folders
    for file, content in planted_subject.files_of(folders):
        if "kept" in str(file):
            continue
        for one in subjects:
            assert one.traces(content) == [], file


def _twice_labelled(site: Any, one: Any) -> None:
    for task in site.tasks:
        table = pq.read_table(site.labels_file(task))
        own = table.filter(pc.equal(table.column("subject_id"), one.subject_id))
        pq.write_table(pa.concat_tables([table, own]), site.labels_file(task))


def _in_two_splits(site: Any, one: Any) -> None:
    table = pq.read_table(site.splits_file)
    more = pa.Table.from_pylist([{"subject_id": one.subject_id, "split": one.code}])
    pq.write_table(pa.concat_tables([table, more.cast(table.schema)]), site.splits_file)


def _values_as_text(site: Any, one: Any) -> None:
    table = pq.read_table(site.data_files[0])
    place = table.column_names.index("numeric_value")
    texts = pa.array([one.code] * table.num_rows)
    pq.write_table(table.set_column(place, "numeric_value", texts), site.data_files[0])


@pytest.mark.parametrize(
    "damage",
    [_twice_labelled, _in_two_splits, _values_as_text],
    ids=lambda d: d.__name__,
)
def test_no_error_about_them_names_them(  # noqa: PLR0917 - fixtures
    damage: Callable[[Any, Any], None],
    haunted: Any,
    subjects: list[Any],
    planted_subject: Any,
    make_study: Callable[..., Any],
    run_study_in_process: Any,
    new_run: Any,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    shutil.copytree(haunted.path, tmp_path / "hospitals")
    sites = FederationFolder(tmp_path / "hospitals").sites
    damage(sites[PLACE], subjects[0])
    done = new_run(tmp_path / "run", tmp_path / "work")
    study = make_study(pretraining={"rounds": 0}, finetuning={"rounds": 1})
    with caplog.at_level(logging.DEBUG), contextlib.suppress(FedehrError):
        run_study_in_process(study, sites, tmp_path, into=done)
    failed = [m for m in done.messages if "error" in m.payload.values]
    assert {m.node for m in failed} == {PLACE}
    assert "work failed with code" in caplog.text
    contents = [caplog.text.encode()]
    for message in done.messages:
        if message.direction == "up":
            contents += planted_subject.contents_of(message.payload)
    contents += [content for _, content in planted_subject.files_of([tmp_path / "run"])]
    for one in subjects:
        assert {trace for content in contents for trace in one.traces(content)} == set()


@settings(max_examples=10, deadline=None)
@given(before=st.binary(max_size=40), after=st.binary(max_size=40), seed=st.integers(0, 99))
def test_the_search_finds_every_spelling(
    planted_subject: Any, before: bytes, after: bytes, seed: int
) -> None:
    one = planted_subject.planted(seed, "train")
    for name, spelling in one.spellings.items():
        assert name in one.traces(before + spelling + after)
    whole = base64.b64encode(before + one.code.encode() + after)
    assert any(name.startswith("code, utf-8, base64") for name in one.traces(whole))


def test_the_search_looks_into_what_is_packed(planted_subject: Any) -> None:
    import gzip

    one = planted_subject.planted(0, "train")
    text = f"a line about {one.code}".encode()
    assert "code, utf-8" in one.traces(b"before" + gzip.compress(text) + b"after")
    packed = pa.Codec("zstd").compress(text, asbytes=True)
    assert "code, utf-8" in one.traces(b"before" + packed + b"after")
    values = np.zeros(100_000, dtype=np.float32)
    values[4_711] = one.value
    record = encode({"weights": values}, "fp32", compress=True)
    assert one.traces(record) == []
    payload = Payload(tensors={"update": record}, values={"report": {"num": [1, one.subject_id]}})
    found = {t for content in planted_subject.contents_of(payload) for t in one.traces(content)}
    assert {"value, float32", "identifier, int64", "identifier, utf-8"} <= found
