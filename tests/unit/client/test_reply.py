"""Failures travel as a code and a reference; the log has the reason, and never a record."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from fedehr_client.answers import answer as answers
from fedehr_client.answers.reply import reply_to
from fedehr_client.compute.config import ComputeConfig
from fedehr_client.locator import SiteLocation, SiteLocator
from fedehr_shared.errors import ERROR_CODES, FedehrError
from fedehr_shared.wire.payload import Payload
from fedehr_shared.wire.work import Work, WorkId

ONE_THREAD = ComputeConfig(device="cpu", num_threads=1)

CANARY = "DX//canary-4711"


def _location(site: Any, work: Path) -> SiteLocation:
    return SiteLocation(site.name, site, work, 5, ONE_THREAD)


def _request(study: Any, phase: Any = "vocabulary") -> Payload:
    return Work(WorkId(study.digest, phase, 1, 1), study).to_payload()


def _check(payload: Payload, code: str, log: str, *hidden: str) -> None:
    assert payload.tensors == {}
    assert set(payload.values) == {"error"}
    assert set(payload.values["error"]) == {"code", "reference"}
    assert payload.text("error", "code") == code
    reference = payload.text("error", "reference")
    assert len(reference) == 16
    int(reference, 16)
    assert reference in log
    for text in hidden:
        assert text not in repr(payload)


@pytest.mark.parametrize("error", [KeyError(CANARY), ValueError(CANARY), ZeroDivisionError(CANARY)])
def test_an_unforeseen_failure_quotes_nothing(
    make_study: Callable[..., Any],
    hospitals: Any,
    tmp_path: Path,
    *,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    def burst(*_: object) -> Payload:
        raise error

    monkeypatch.setattr(answers.VocabularyAnswer, "payload", burst)
    location = _location(hospitals.sites[0], tmp_path / "work")
    with caplog.at_level(logging.ERROR, "fedehr.client"):
        payload = reply_to(lambda: _request(make_study()), lambda: location)
    _check(payload, "failed", caplog.text, CANARY, str(hospitals.path), str(tmp_path))
    assert type(error).__name__ in caplog.text
    assert "canary" not in caplog.text


@pytest.mark.parametrize("end", ["read", "locate"])
def test_failures_before_the_work_begins_are_caught_too(
    make_study: Callable[..., Any], caplog: pytest.LogCaptureFixture, end: str
) -> None:
    def burst() -> Any:
        raise EOFError(CANARY)

    calls: dict[str, Any] = {"read": lambda: _request(make_study()), "locate": lambda: None}
    calls[end] = burst
    _check(reply_to(**calls), "failed", caplog.text, CANARY)


def test_our_own_errors_send_their_code_and_keep_their_reason(
    make_study: Callable[..., Any],
    copied_hospitals: Any,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    site = copied_hospitals.sites[0]
    file = site.labels_file("death")
    table = pq.read_table(file)
    pq.write_table(table.rename_columns([table.column_names[0], "prediction_time", CANARY]), file)
    location = _location(site, tmp_path / "work")
    payload = reply_to(lambda: _request(make_study()), lambda: location)
    _check(payload, "data", caplog.text, CANARY, str(tmp_path), "parquet")
    assert str(file) in caplog.text


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("task", "missing_task"), ("floor", "policy"), ("records", "data"), ("splits", "data"),
        ("weights", "vocabulary_missing"), ("environment", "config"), ("request", "wire"),
        ("study", "config"), ("cuda", "config"),
    ],
)  # fmt: skip
def test_each_failure_has_its_code(
    make_study: Callable[..., Any],
    copied_hospitals: Any,
    tmp_path: Path,
    *,
    caplog: pytest.LogCaptureFixture,
    fault: str,
    code: str,
) -> None:
    site, study = copied_hospitals.sites[0], make_study()
    location = _location(site, tmp_path / "work")
    request = _request(study)
    if fault == "task":
        for task in study.finetuning.tasks:
            site.labels_file(task).unlink()
    elif fault == "floor":
        location = SiteLocation(site.name, site, tmp_path / "work", 11, ONE_THREAD)
    elif fault == "records":
        site.data_files[0].write_bytes(site.data_files[0].read_bytes()[:-100])
    elif fault == "splits":
        site.splits_file.unlink()
    elif fault == "weights":
        request = _request(study, "pretraining")
    elif fault == "request":
        request.values["work"]["work_id"] = CANARY
    elif fault == "study":
        request.values["work"]["study"] = f'{{"{CANARY}": 1}}'
    found = (lambda: SiteLocator().locate({}, {})) if fault == "environment" else (lambda: location)
    if fault == "cuda":
        import torch

        if torch.cuda.is_available():
            pytest.skip("there is a CUDA device")
        from fedehr_client.compute.device import choose_device

        found = lambda: choose_device("cuda")  # noqa: E731
    payload = reply_to(lambda: request, found)  # type: ignore[arg-type]
    _check(payload, code, caplog.text, CANARY, str(tmp_path))
    assert code in ERROR_CODES


def test_references_are_random(make_study: Callable[..., Any]) -> None:
    def refuse() -> Any:
        raise FedehrError("no")

    found = {
        reply_to(lambda: _request(make_study()), refuse).text("error", "reference")
        for _ in range(20)
    }
    assert len(found) == 20
