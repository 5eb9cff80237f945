"""`docs/protocol.md` against the messages of real studies, in both directions."""

import getpass
import re
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from fedehr_server.rounds.machine import PERMANENT_CODES, WAITING_CODES
from fedehr_shared import errors
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.contract.requests import (
    End,
    EndAnswer,
    Proposal,
    ProposalAnswer,
    under_contract,
)
from fedehr_shared.contract.signed_contract import SignedContract
from fedehr_shared.contract.study_contract import StudyContract
from fedehr_shared.errors import FedehrError
from fedehr_shared.meds.folder import FederationFolder
from fedehr_shared.meds.reader import read_events, read_parents, read_splits
from fedehr_shared.wire.codec.record import decode
from fedehr_shared.wire.payload import Payload
from fedehr_shared.wire.reports import ErrorReport
from fedehr_shared.wire.work import PHASES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "protocol.md").read_text()
METRICS = "auroc|auprc|brier|calibration_error|calibration_slope|calibration_intercept"
FIRST_ID = 4_700_000_000
RANK = 3


def _table(heading: str) -> list[dict[str, str]]:
    """The rows of the first table below a heading, by column."""
    section = PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [dict(zip(rows[0], row, strict=True)) for row in rows[2:]]


def _pattern(cell: str) -> re.Pattern[str]:
    """A name of the page as a regular expression."""
    holes = {
        "<parameter>": r"(?P<parameter>.+)",
        "<question>": r"[a-z0-9_-]+(?:\.[^/]+)?",
        "<kind>": "(?:sex|age)",
        "<group>": r"[a-z0-9 .]+",
        "<matrix>": r".+",
        "<task>": r"[a-z0-9_-]+",
        "<i>": r"\d+",
    }
    pattern = re.escape(cell.strip("`"))
    for hole, meaning in {**holes, "<metric>": f"(?:{METRICS})"}.items():
        pattern = pattern.replace(re.escape(hole), meaning)
    return re.compile(pattern)


REQUESTS = _table("Requests: coordinator to site")
ANSWERS = _table("Answers: site to coordinator")
PARAMETERS = _table("Parameters")


@pytest.fixture(scope="module")
def marked_hospitals(hospitals: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The hospitals with identifiers that no count could equal."""
    folder = tmp_path_factory.mktemp("marked") / "hospitals"
    shutil.copytree(hospitals.path, folder)
    for file in folder.glob("*/*/*.parquet"):
        table = pq.read_table(file)
        if "subject_id" in table.column_names:
            moved = pc.add(table.column("subject_id"), FIRST_ID)
            pq.write_table(table.set_column(0, table.schema.field("subject_id"), moved), file)
    return FederationFolder(folder)


@pytest.fixture(scope="module")
def messages(
    make_study: Callable[..., Any],
    marked_hospitals: Any,
    run_study_in_process: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> list[Any]:
    """A study in which every kind of message is sent once at least: a floor of two, so that
    tuning scores are told, and an error in every phase; then the counts of one with noise, the
    pre-training of one with a decoder and two views of a subject, and the fine-tuning of one with
    adapters that are folded into the base."""

    errors_sent: list[Any] = []

    def lapse(sent: Any) -> list[Any]:
        if (sent.round, sent.node, sent.attempt) != (1, 2, 1):
            return [sent.payload]
        failed = ErrorReport("failed", "0123456789abcdef").to_payload()
        errors_sent.append(replace(sent, payload=failed))
        return [failed]

    folder = tmp_path_factory.mktemp("protocol")
    study = make_study(
        vocabulary={"min_cell": 2},
        evaluation={"calibration": "platt"},
        loss={"task_weights": "dynamic", "class_weights": "balanced"},
    )
    run = run_study_in_process(study, marked_hospitals.sites, folder, alter=lapse)
    noisy = {"min_cell": 2, "noise_epsilon": 50.0, "noise_delta": 1e-6}
    short = make_study(vocabulary=noisy, pretraining={"rounds": 0}, finetuning={"rounds": 1})
    other = run_study_in_process(short, marked_hospitals.sites, folder / "noisy")
    counted = [m for m in other.messages if m.phase == "vocabulary"]
    viewed = make_study(
        vocabulary={"min_cell": 2},
        objective={"kind": "masked_autoencoder", "contrastive_weight": 0.5, "projection": 24},
        pretraining={"rounds": 1, "private_bias": True},
        finetuning={"rounds": 0},
    )
    last = run_study_in_process(viewed, marked_hospitals.sites, folder / "viewed")
    trained = [m for m in last.messages if m.phase == "pretraining"]
    tuned = _adapted(make_study, run_study_in_process, marked_hospitals, folder)
    return [*run.messages, *errors_sent, *counted, *trained, *tuned]


def _adapted(make_study: Any, run: Any, hospitals: Any, folder: Path) -> list[Any]:
    study = make_study(
        vocabulary={"min_cell": 2},
        model={"pooling": "attention"},
        pretraining={"rounds": 0},
        finetuning={"rounds": 2, "tuning": "lora"},
        lora={"rank": RANK, "aggregation": "stacking"},
        loss={"task_weights": "uncertainty"},
    )
    done = run(study, hospitals.sites, folder / "adapted")
    return [m for m in done.messages if m.phase in {"finetuning", "evaluation"}]


def _items(message: Any) -> Iterator[tuple[str, str, Any]]:
    tensors = {record: decode(data) for record, data in message.payload.tensors.items()}
    for record, content in (*tensors.items(), *message.payload.values.items()):
        for key, value in content.items():
            yield record, key, value


def _type_of(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return str(value.dtype)
    if isinstance(value, list):
        return f"list of {type(value[0]).__name__}" if value else "list of"
    return type(value).__name__


def _rows_for(message: Any, record: str, key: str) -> list[dict[str, str]]:
    rows = REQUESTS if message.direction == "down" else ANSWERS
    return [
        row
        for row in rows
        if message.phase in row["phase"].split(", ")
        and _pattern(row["record"]).fullmatch(record)
        and _pattern(row["key"]).fullmatch(key)
    ]


def _narrowest(rows: list[dict[str, str]]) -> dict[str, str]:
    return max(rows, key=lambda row: len(row["key"]))


def test_every_message_stands_on_the_page(messages: list[Any]) -> None:
    for message in messages:
        for record, key, value in _items(message):
            rows = _rows_for(message, record, key)
            assert rows, f"{message.phase} {message.direction}: {record}.{key} is not documented"
            told = _narrowest(rows)["type"]
            assert (
                told == _type_of(value)
                or told.startswith(f"{_type_of(value)} ")
                or (value == [] and told.startswith("list of"))
            ), f"{record}.{key} is {_type_of(value)}, the page says {told}"


def test_every_row_of_the_page_is_sent(messages: list[Any]) -> None:
    unsent = {
        (direction, phase, row["record"], row["key"])
        for direction, rows in (("down", REQUESTS), ("up", ANSWERS))
        for row in rows
        for phase in row["phase"].split(", ")
    }
    for message in messages:
        for record, key, _ in _items(message):
            for row in _rows_for(message, record, key)[:]:
                if row is _narrowest(_rows_for(message, record, key)):
                    sent = (message.direction, message.phase, row["record"], row["key"])
                    unsent.discard(sent)
    assert unsent == set()


def _sizes(messages: list[Any]) -> dict[str, int]:
    from fedehr_shared.vocabulary.vocabulary import Vocabulary

    first = next(m for m in messages if (m.phase, m.direction) == ("pretraining", "down"))
    study = StudyConfig.from_json(first.payload.text("work", "study"))
    vocabulary = Vocabulary.from_json(first.payload.text("work", "vocabulary"))
    hidden = study.model.hidden
    decoder = hidden // 2 + hidden // 2 % 2
    return {
        "V": vocabulary.num_tokens, "H": hidden, "F": _feed_width(hidden),
        "T": len(study.finetuning.tasks), "D": decoder, "G": _feed_width(decoder), "P": 24,
        "R": RANK, "I": hidden + 1,
    }  # fmt: skip


def _feed_width(width: int) -> int:
    return -(-width * 8 // 3 // 8) * 8


def test_parameters_have_the_names_and_shapes_of_the_page(messages: list[Any]) -> None:
    sizes = _sizes(messages)
    seen: set[tuple[str, str]] = set()
    for message in messages:
        phase = "finetuning" if message.phase == "evaluation" else message.phase
        for record, key, value in _items(message):
            if record not in {"model", "update", "moments", "base"}:
                continue
            row = _narrowest(_rows_for(message, record, key))
            found = _pattern(row["key"]).fullmatch(key)
            assert found is not None
            name = found.group("parameter")
            about = [p for p in PARAMETERS if _pattern(p["parameter"]).fullmatch(name)]
            assert len(about) == 1, f"{name} is not documented"
            assert phase in about[0]["in"].split(", ")
            symbols = about[0]["shape"].split(", ")
            assert value.shape == tuple(sizes.get(s) or int(s) for s in symbols), name
            seen.add((phase, about[0]["parameter"]))
    assert seen == {(p, row["parameter"]) for row in PARAMETERS for p in row["in"].split(", ")}


def test_lists_have_the_lengths_that_the_page_relates(messages: list[Any]) -> None:
    for message in messages:
        lengths: dict[str, int] = {}
        for record, key, value in _items(message):
            shape = _narrowest(_rows_for(message, record, key))["shape"]
            if isinstance(value, list):
                assert lengths.setdefault(f"{record} {shape}", len(value)) == len(value)
        if "histograms" in message.payload.values:
            bins, codes = lengths["histograms B"], lengths["histograms G"]
            assert lengths["histograms B + G"] == bins + codes
            both = lengths["codes C"] + lengths["codes A"]
            assert lengths["codes C + A"] == both


def test_the_vocabulary_and_the_moments_travel_when_the_page_says(messages: list[Any]) -> None:
    for message in messages:
        if message.direction == "up" or message.phase == "vocabulary":
            continue
        again = message.attempt > 1
        first = message.round == 1 and message.phase != "evaluation"
        assert ("vocabulary" in message.payload.values["work"]) == (first or again)
        moments = message.round > 1 and message.phase != "evaluation" and _averages_moments(message)
        assert ("moments" in message.payload.tensors) == moments
        work = message.payload.text("work", "work_id").split("/")
        assert work[1:] == [message.phase, str(message.round), str(message.attempt)]


def _averages_moments(message: Any) -> bool:
    study = StudyConfig.from_json(message.payload.text("work", "study"))
    training = study.pretraining if message.phase == "pretraining" else study.finetuning
    return training.optimizer_state == "averaged"


def test_the_order_of_phases_is_that_of_the_page(messages: list[Any]) -> None:
    assert [row["phase"].strip("`") for row in _table("Order of a study")] == list(PHASES)
    order = [m.phase for m in messages if m.direction == "down"]
    assert list(dict.fromkeys(order)) == list(PHASES)


def test_the_error_table_is_that_of_the_code() -> None:
    def classes(kind: type[FedehrError]) -> Iterator[type[FedehrError]]:
        yield kind
        for child in kind.__subclasses__():
            yield from classes(child)

    told = {
        row["code"].strip("`"): (int(row["exit code"]), row["asked again"])
        for row in _table("Errors and asking again")
    }
    assert told == {
        kind.code: (kind.exit_code, _asked_again(kind.code))
        for kind in classes(FedehrError)
        if kind.__module__ == errors.__name__
    }


def _asked_again(code: str) -> str:
    if code in WAITING_CODES:
        return "until the deadline"
    return "no" if code in PERMANENT_CODES else "yes"


def test_the_messages_of_a_contract_stand_on_the_page() -> None:
    signed = SignedContract("{}", "00", "PEM")
    work = Payload(values={"work": {"work_id": "w", "study": "s"}})
    sent = {
        "proposal": ("down", Proposal(signed).to_payload()),
        "work": ("down", under_contract(work, "d", signed)),
        "end": ("down", End("d", "m").to_payload()),
        "answer to a proposal": ("up", ProposalAnswer("a", "waiting").to_payload()),
        "answer to an end": ("up", EndAnswer("a").to_payload()),
    }
    found = {
        (kind, record, key, _type_of(value))
        for kind, (_, payload) in sent.items()
        for record, values in payload.values.items()
        for key, value in values.items()
        if (record, key) not in {("work", "work_id"), ("work", "study")}
    }
    assert found == {
        (row["message"], row["record"].strip("`"), row["key"].strip("`"), row["type"])
        for row in _table("Contracts")
    }


def test_the_contract_s_fields_stand_on_the_page() -> None:
    section = PAGE.split("\n## Contracts\n", 1)[1].split("\n## ", 1)[0]
    told = set(re.findall(r"^- `([a-z0-9_]+)`", section, re.MULTILINE))
    assert told == set(StudyContract.model_fields)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        yield from (item for item in value if isinstance(item, str))


def test_no_message_names_a_path_or_a_person(messages: list[Any], marked_hospitals: Any) -> None:
    texts = [
        text
        for message in messages
        for record, key, value in _items(message)
        for text in (record, key, *_strings(value))
    ]
    assert len(texts) > 500
    secret = {
        str(marked_hospitals.path), str(marked_hospitals.path.parent), str(ROOT), str(Path.home()),
        "/tmp", "/home", "/root", "/var", "/usr", "\\", "file:", "parquet", ".npy", "tokens/",
        "work/hospital", "run/", socket.gethostname(),
    }  # fmt: skip
    if len(getpass.getuser()) > 4:
        secret.add(getpass.getuser())
    hits = {(word, text[:80]) for word in secret for text in texts if word in text}
    assert hits == set()


def test_no_message_names_a_subject_or_a_rare_code(
    messages: list[Any], marked_hospitals: Any
) -> None:
    for node, site in enumerate(marked_hospitals.sites):
        events, splits = read_events(site), read_splits(site)
        own = [m for m in messages if m.direction == "up" and m.node == node]
        ids = {str(s) for s in splits}
        texts = {t for m in own for _, _, value in _items(m) for t in _strings(value)}
        assert min(splits) > FIRST_ID
        assert not any(i in text for i in ids for text in texts)
        numbers = {n for m in own for _, _, v in _items(m) for n in np.ravel(v).tolist()}
        assert numbers & {int(i) for i in ids} == set()
        told = {c for m in own for c in m.payload.values.get("codes", {}).get("code", [])}
        held: dict[str, set[int]] = {}
        parents = read_parents(site)
        for subject, place in zip(events.subject_ids.tolist(), events.code_indices, strict=True):
            at: str | None = events.codes[place]
            while at is not None and splits[subject] == "train":
                held.setdefault(at, set()).add(subject)
                at = parents.get(at)
        rare = {code for code, subjects in held.items() if len(subjects) < 2}
        assert rare
        assert told & rare == set()
        assert told <= set(held)
