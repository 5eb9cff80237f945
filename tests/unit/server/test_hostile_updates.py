"""Updates that are malformed, damaged or hostile: refused whole, and the study goes on."""

import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fedehr_shared.errors import WireError
from fedehr_shared.wire.codec.entry import Entry
from fedehr_shared.wire.codec.record import decode
from fedehr_shared.wire.codec.table import pack_table
from fedehr_shared.wire.payload import Arrays, Payload
from fedehr_shared.wire.reports import ErrorReport

Alter = Callable[[Any], list[Any]]
Change = Callable[[Payload], Any]


def _bits(weights: dict[str, Any]) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in weights.items()}


def _events(folder: Path, kind: str) -> list[dict[str, Any]]:
    lines = (folder / "progress.jsonl").read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == kind]


def _result(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return content


def _at(phase: str, number: int, node: int, change: Change) -> Alter:
    """Change what one node answers in one round, at every attempt."""

    def alter(sent: Any) -> list[Any]:
        if (sent.phase, sent.round, sent.node) == (phase, number, node):
            return [change(sent.payload)]
        return [sent.payload]

    return alter


def _changed(record: str, key: str, value: Any) -> Change:
    def change(payload: Payload) -> Payload:
        payload.values[record][key] = value
        return payload

    return change


def _filled(number: float, record: str = "update") -> Change:
    def change(tensors: Arrays) -> None:
        tensors[sorted(tensors)[0]].flat[0] = number

    return _edited(change, record)


def _edited(change: Callable[[Arrays], object], record: str = "update") -> Change:
    """A record with other tensors, encoded without the checks of an honest site."""

    def edit(payload: Payload) -> Payload:
        tensors = decode(payload.tensors[record])
        change(tensors)
        payload.tensors[record] = _forged(tensors)
        return payload

    return edit


def _forged(tensors: Arrays) -> bytes:
    """As fp16, with whatever the tensors hold."""
    bodies = [_half_body(array) for array in tensors.values()]
    entries = [
        Entry(name, "fp16", False, array.shape, len(body), zlib.crc32(body))
        for (name, array), body in zip(tensors.items(), bodies, strict=True)
    ]
    return pack_table(entries) + b"".join(bodies)


def _half_body(array: NDArray[np.float32]) -> bytes:
    exponent = -100 if np.any(np.abs(array) > 1e9) else 0
    halves = (array * np.float32(2.0**exponent)).astype(np.float16)
    return exponent.to_bytes(2, "little", signed=True) + halves.tobytes()


def _without(record: str, name: str | None = None) -> Change:
    def change(payload: Payload) -> Payload:
        if name is None:
            payload.tensors.pop(record, None)
            payload.values.pop(record, None)
        else:
            _edited(lambda tensors: tensors.pop(name), record)(payload)
        return payload

    return change


def _more(tensors: Arrays) -> None:
    tensors["encoder.backdoor"] = np.zeros(3, np.float32)


def _reshaped(tensors: Arrays) -> None:
    tensors["encoder.norm.weight"] = tensors["encoder.norm.weight"][None]


def _one_moment(tensors: Arrays) -> None:
    for name in set(tensors) - {"encoder.norm.weight.first"}:
        del tensors[name]


def _damaged(payload: Payload) -> Payload:
    payload.tensors["update"] = payload.tensors["update"][:-1] + b"?"
    return payload


HOSTILE: dict[str, Change] = {
    "nothing": lambda payload: Payload(),
    "only unknown records": lambda payload: Payload(values={"hello": {"x": 1}}),
    "an error without code": lambda payload: Payload(values={"error": {"text": "canary"}}),
    "tensors as error": lambda payload: Payload(tensors={"error": payload.tensors["update"]}),
    "damaged on the way": _damaged,
    "no update": _without("update"),
    "a tensor missing": _without("update", "encoder.norm.weight"),
    "a tensor too many": _edited(_more),
    "another shape": _edited(_reshaped),
    "NaN": _filled(np.nan),
    "infinity": _filled(-np.inf),
    "a huge value": _filled(1e30),
    "no moments": _without("moments"),
    "one moment only": _edited(_one_moment, "moments"),
    "a moment missing": _without("moments", "encoder.norm.weight.second_root"),
    "NaN in a moment": _filled(np.nan, "moments"),
    "a huge moment": _filled(1e30, "moments"),
    "no report": _without("report"),
    "another site's name": _changed("report", "site", "hospital-1"),
    "no example": _changed("report", "num_examples", 0),
    "more examples than anyone": _changed("report", "num_examples", 2**62),
    "a negative number": _changed("report", "num_examples", -3),
    "NaN loss": _changed("report", "loss", float("nan")),
    "an AUROC above 1": _changed("metrics", "tuning.death.auroc", 1.5),
    "a share above 1": _changed("metrics", "back_off.exact", 2.0),
    "a text for a number": _changed("report", "loss", "low"),
    "a metric that is a list": _changed("metrics", "back_off.exact", [0.5]),
}


@pytest.fixture(scope="module")
def without_site_2(
    make_study: Any, replay_study: Any, tmp_path_factory: pytest.TempPathFactory
) -> Any:
    """The weights where site 2's first update is missing for an honest reason."""
    folder = tmp_path_factory.mktemp("missing") / "run"
    alter = _at("pretraining", 1, 1, lambda payload: ErrorReport("failed", "r").to_payload())
    return replay_study(make_study(), folder, alter=alter).latest_weights


@pytest.mark.parametrize("fault", HOSTILE)
def test_a_hostile_update_is_refused_whole_and_the_study_goes_on(
    make_study: Any, replay_study: Any, without_site_2: Any, tmp_path: Path, fault: str
) -> None:
    alter = _at("pretraining", 1, 1, HOSTILE[fault])
    done = replay_study(make_study(), tmp_path / "run", alter=alter)
    assert _bits(done.latest_weights) == _bits(without_site_2)
    errors = _events(tmp_path / "run", "site_error")
    assert [(e["phase"], e["round"]) for e in errors] == [("pretraining", 1)] * 3
    assert {e["code"] for e in errors} == {"wire"}
    rounds = {(e["phase"], e["round"]): e for e in _events(tmp_path / "run", "round")}
    assert rounds["pretraining", 1]["missing"] == ["hospital-2: wire"]


def test_a_first_update_with_moments_of_its_own_does_not_shut_out_the_others(
    make_study: Any, replay_study: Any, tmp_path: Path
) -> None:
    alter = _at("pretraining", 1, 0, HOSTILE["one moment only"])
    replay_study(make_study(), tmp_path / "run", alter=alter)
    rounds = {(e["phase"], e["round"]): e for e in _events(tmp_path / "run", "round")}
    assert rounds["pretraining", 1]["missing"] == ["hospital-1: wire"]


def test_hostile_updates_from_too_many_end_the_study(
    make_study: Any, replay_study: Any, tmp_path: Path
) -> None:
    study = make_study(federation={"min_sites": 3})
    alter = _at("pretraining", 1, 1, HOSTILE["NaN"])
    with pytest.raises(WireError, match="min_sites"):
        replay_study(study, tmp_path / "run", alter=alter)
    assert _result(tmp_path / "run")["code"] == "wire"
