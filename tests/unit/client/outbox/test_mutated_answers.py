"""Answers that were changed are stopped, in hundreds of ways, and nothing of them is kept."""

import math
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fedehr_client.outbox.answer_check import AnswerCheck
from fedehr_client.outbox.outbox import Outbox
from fedehr_client.outbox.sealed_bytes import SealedBytes
from fedehr_client.outbox.vocabulary_check import SiteCodes
from fedehr_shared.errors import ContractError, WireError
from fedehr_shared.meds.folder import SiteFolder
from fedehr_shared.wire.codec import planes, record
from fedehr_shared.wire.codec.record import decode, encode
from fedehr_shared.wire.payload import Payload

KINDS = (
    "lora int8",
    *(
        pytest.param(kind, marks=pytest.mark.long)
        for kind in ("averaged moments", "withheld", "private", "multitask", "noisy vocabulary")
    ),
)
TEXT = "Mrs Smith, born 1950, has it"
Mutation = tuple[str, Payload]


@pytest.mark.parametrize("kind", KINDS)
def test_every_change_is_stopped(kind: str, honest: Any, node_of: Any) -> None:
    study = honest(kind)
    config = node_of(study).config()
    codes = SiteCodes(SiteFolder(study.records))
    num_tried, told = 0, []
    for one in study.answers:
        check = AnswerCheck(one.admitted, config.site.name, config.ceilings.min_cell, codes)
        check.check(SealedBytes.of(one.answer).payload)
        for what, changed in _mutations(one.answer, one.admitted.study.exchange):
            num_tried += 1
            try:
                check.check(SealedBytes.of(changed).payload)
            except (WireError, ContractError, ValueError) as error:
                told.append(str(error))
            else:
                pytest.fail(f"{one.name}: {what} left")
    assert num_tried > 400
    assert not any("Smith" in text for text in told)


def test_what_is_stopped_is_written_down_and_not_kept(
    honest: Any, node_of: Any, outbox_of: Callable[..., Outbox], caplog: Any
) -> None:
    study = honest("lora int8")
    outbox, node = outbox_of(study), node_of(study)
    num_tried = 0
    for one in study.answers:
        for what, changed in list(_mutations(one.answer, one.admitted.study.exchange))[::29]:
            num_tried += 1
            with pytest.raises((WireError, ContractError)) as stopped:
                outbox.seal(one.admitted, changed)
            assert "Smith" not in str(stopped.value), what
        assert outbox.kept(one.admitted) is None
    assert num_tried > 30
    assert not (node.outbox / "sent").exists()
    assert not list((node.outbox / "kept").rglob("*.answer"))
    told = "".join(file.read_text() for file in (node.outbox / "receipts").iterdir())
    assert told.count('"verdict": "stopped"') == num_tried
    assert "Smith" not in told + node.audit_file.read_text() + caplog.text
    for one in study.answers:
        outbox.seal(one.admitted, one.answer)  # what was stopped before does no harm to them


def _mutations(answer: Payload, exchange: Any) -> Iterator[Mutation]:
    yield from _of_records(answer)
    for place, own in answer.values.items():
        yield from _of_keys(answer, place)
        for key, value in own.items():
            for what, other in _of_value(value, place, key):
                changed = {**answer.values, place: {**own, key: other}}
                yield f"{place}.{key}: {what}", replace(answer, values=changed)
    for name in answer.tensors:
        dtype = exchange.dtype if name == "update" else exchange.state_dtype
        for what, data in _of_tensors(answer.tensors[name], dtype):
            yield f"{name}: {what}", replace(answer, tensors={**answer.tensors, name: data})


def _of_records(answer: Payload) -> Iterator[Mutation]:
    values, tensors = answer.values, answer.tensors
    yield "another record", replace(answer, values={**values, TEXT: {"a": 1}})
    yield "an empty record", replace(answer, values={**values, "codes2": {}})
    yield "an error beside it", replace(answer, values={**values, "error": {
        "code": "failed", "reference": "0" * 16}})  # fmt: skip
    yield "raw bytes as tensors", replace(answer, tensors={**tensors, "base": TEXT.encode()})
    yield "records as tensors", replace(answer, tensors={**tensors, "records": encode(
        {TEXT: np.zeros(3, np.float32)}, "fp32")})  # fmt: skip
    for name in values:
        yield f"no {name}", replace(answer, values={k: v for k, v in values.items() if k != name})
    for name in tensors:
        yield f"no {name}", replace(answer, tensors={k: v for k, v in tensors.items() if k != name})


def _of_keys(answer: Payload, place: str) -> Iterator[Mutation]:
    own = answer.values[place]
    for key, value in (
        (TEXT, 1.0), ("note", TEXT), ("subject_id", 17), ("", 0), ("loss ", 1.0), ("min_cel", 5),
    ):  # fmt: skip
        yield f"{place}: key {key!r}", replace(answer, values={
            **answer.values, place: {**own, key: value}})  # fmt: skip
    for key in own:
        if place != "metrics":  # of these any may be absent, but for the ones tried below
            rest = {name: value for name, value in own.items() if name != key}
            if (place, key) not in {("report", "loss")}:
                yield f"{place}: no {key}", replace(answer, values={**answer.values, place: rest})


def _of_value(value: Any, place: str, key: str) -> Iterator[tuple[str, Any]]:
    yield "text", TEXT
    yield "a list of text", [TEXT]
    yield "true", True
    if isinstance(value, list):
        yield "one more", [*value, value[0] if value else 1]
        yield "text in a list", [*value[:-1], TEXT]
        if value:
            yield "a single number", value[0]
        if value and isinstance(value[0], int):
            yield "a float in a list", [float(value[0]), *value[1:]]
            yield "below", [-7, *value[1:]]
            yield "huge", [2**62, *value[1:]]
        return
    if isinstance(value, str):
        yield "another name", value + "x"
        yield "a number", 3
        return
    if isinstance(value, float):
        yield "an integer", 3
        yield "NaN", math.nan
        yield "infinity", math.inf
        yield "huge", 1e300
        if key not in {"loss"}:
            yield "far below 0", -2e13
        if place == "metrics" and key not in {"grad_norm", "learning_rate"}:
            yield "finer", value + 1.234567e-7
        if key.endswith((".num", ".num_positive")) or key.startswith("labels."):
            yield "a count of 3", 3.0
            yield "a count between cells", value + 1
        return
    yield "a float", float(value)
    yield "NaN", math.nan
    yield "below 0", -1
    yield "huge", 2**70
    if key in {"num_examples", "num_subjects"}:
        yield "a count of 3", 3
        yield "a count between cells", value + 1
    if key in {"min_cell", "unit"}:
        yield "a finer one", value - 1


def _of_tensors(data: bytes, dtype: Any) -> Iterator[tuple[str, bytes]]:
    arrays = decode(data)
    name = next(iter(arrays))
    other = "fp32" if dtype != "fp32" else "fp16"
    generator = np.random.default_rng(0)

    def again(changed: dict[str, Any], to: Any = dtype) -> bytes:
        return encode(changed, to, generator=generator)

    yield "one more tensor", again({**arrays, TEXT: np.zeros(2, np.float32)})
    yield "a known name more", again({**arrays, "encoder.extra.weight": np.zeros(2, np.float32)})
    yield "a tensor less", again({k: v for k, v in arrays.items() if k != name})
    yield "another name", again({(TEXT if k == name else k): v for k, v in arrays.items()})
    yield "another shape", again({**arrays, name: arrays[name].reshape(-1)[:-1]})
    yield "turned", again({**arrays, name: arrays[name].reshape(1, *arrays[name].shape)})
    yield "one row more", again({**arrays, name: np.concatenate([arrays[name]] * 2)})
    yield "another dtype", again(arrays, other)
    yield "no tensor", again({})
    yield "bytes after it", data + TEXT.encode()
    yield "a byte less", data[:-1]
    yield "nothing", b""
    yield "not a record", TEXT.encode() * 9
    yield "not a number", _first_number(again(arrays), name, dtype, is_nan=True)
    yield "infinity", _first_number(again(arrays), name, dtype, is_nan=False)
    dice = random.Random(len(data))
    for _ in range(12):
        at = dice.randrange(len(data))
        yield (
            f"bit at {at}",
            data[:at] + bytes([data[at] ^ (1 << dice.randrange(8))]) + data[at + 1 :],
        )


def _first_number(data: bytes, name: str, dtype: Any, *, is_nan: bool) -> bytes:
    """The record with a number in it that is none, checksums and all."""
    plain = encode(decode(data), dtype, compress=False, generator=np.random.default_rng(0))
    entries, at = record.unpack_table(memoryview(plain))
    entry = entries[0]
    assert entry.name == name
    patterns = {
        "fp32": (0, 0x7FC00001 if is_nan else 0x7F800000, "<I"),
        "bf16": (0, 0x7FC1 if is_nan else 0x7F80, "<H"),
        "fp16": (2, 0x7E01 if is_nan else 0x7C00, "<H"),
        "int8": (0, 0x7FC00001 if is_nan else 0x7F800000, "<I"),
    }
    offset, bits, layout = patterns[dtype]
    body = bytearray(plain[at : at + entry.num_stored_bytes])
    struct.pack_into(layout, body, offset, bits)
    entries[0] = replace(entry, checksum=zlib.crc32(bytes(body)))
    return record.pack_table(entries) + bytes(body) + plain[at + entry.num_stored_bytes :]


def test_text_in_a_frame_of_zstd_is_stopped(
    honest: Any, outbox_of: Callable[..., Outbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frame that unpacks to the same numbers can carry more: a skippable frame behind it."""
    study = honest("averaged moments")
    one = study.of("pretraining")
    arrays = decode(one.answer.tensors["update"])
    packed = planes._packed

    def with_text(plane: Any) -> bytes:
        frame = bytes(packed(plane))
        hidden = struct.pack("<II", 0x184D2A50, len(TEXT)) + TEXT.encode()
        is_frame = len(frame) != plane.size and len(frame) + len(hidden) < plane.size
        return frame + hidden if is_frame else frame

    with monkeypatch.context() as patched:
        patched.setattr(planes, "_packed", with_text)
        smuggled = encode({**arrays, **_zeros(arrays)}, "fp32")
    assert TEXT.encode() in smuggled
    answer = replace(one.answer, tensors={**one.answer.tensors, "update": smuggled})
    outbox = outbox_of(study)
    with pytest.raises(WireError, match="no part of a number"):
        outbox.seal(one.admitted, answer)
    clean = encode({**arrays, **_zeros(arrays)}, "fp32")
    outbox.seal(one.admitted, replace(answer, tensors={**answer.tensors, "update": clean}))


def _zeros(arrays: dict[str, Any]) -> dict[str, Any]:
    """What packs well, and so is a frame."""
    return {name: np.zeros_like(value) for name, value in arrays.items() if value.size > 500}


@pytest.mark.parametrize(
    ("place", "change"),
    [
        ("codes.code", lambda codes: [*codes[:-1], "ZZZ//a note about one person"]),
        ("codes.code", lambda codes: [codes[1], codes[0], *codes[2:]]),
        ("codes.num_units", lambda nums: [0, *nums[1:]]),
        ("codes.num_units", lambda nums: [10**6, *nums[1:]]),
        ("codes.parent", lambda rows: [0 if row == -1 else -1 for row in rows]),
        ("histograms.num_units", lambda nums: [0, *nums[1:]]),
        ("histograms.edge_steps", lambda steps: [*steps[:-1], steps[-1] + 16_384]),
        ("labels.task", lambda names: ["a_task_of_my_own", *names[1:]]),
        ("labels.num", lambda nums: [3, *nums[1:]]),
        ("labels.num", lambda nums: [nums[0] + 1, *nums[1:]]),
    ],
)
def test_a_vocabulary_that_says_more_is_stopped(
    place: str, change: Any, honest: Any, outbox_of: Any, changed: Any
) -> None:
    study = honest("averaged moments")
    one = study.of("vocabulary")
    record_name, _, key = place.partition(".")
    value = change(one.answer.values[record_name][key])
    with pytest.raises(WireError):
        outbox_of(study).seal(one.admitted, changed(one.answer, place, value))


def test_counts_finer_than_the_site_allows_are_stopped(honest: Any, outbox_of: Any) -> None:
    """The study's cells are of 5; this site's floor is higher, whatever the child was told."""
    study = honest("averaged moments")
    outbox = outbox_of(study, min_cell=7)
    for one in study.answers:
        with pytest.raises(WireError):
            outbox.seal(one.admitted, one.answer)


def test_another_round_s_answer_is_stopped(honest: Any, outbox_of: Any) -> None:
    study = honest("noisy vocabulary")
    outbox = outbox_of(study)
    of = {one.name: one for one in study.answers}
    probing, full = of["finetuning/1"], of["finetuning/2"]
    for asked, other in ((probing, full), (full, probing), (probing, study.of("evaluation"))):
        with pytest.raises(WireError):
            outbox.seal(asked.admitted, other.answer)


def test_key_order_tells_nothing(honest: Any, outbox_of: Any) -> None:
    study = honest("lora int8")
    one = study.of("evaluation")
    turned = Payload(values={
        name: dict(reversed(own.items())) for name, own in reversed(one.answer.values.items())
    })  # fmt: skip
    sealed = outbox_of(study).seal(one.admitted, turned)
    assert list(sealed.values) == sorted(one.answer.values)
    assert all(list(own) == sorted(own) for own in sealed.values.values())
