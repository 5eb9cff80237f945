"""No subject's identifier comes into a log, an audit or a receipt, at any level."""

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedehr_client.contracts.admitted import Admitted
from fedehr_client.node.folder import NodeFolder
from fedehr_client.outbox.outbox import Outbox
from fedehr_shared.errors import ContractError, WireError
from fedehr_shared.model.parameter_shapes import update_shapes
from fedehr_shared.wire.codec.record import encode
from fedehr_shared.wire.payload import Payload
from fedehr_shared.wire.reports import TrainReport
from fedehr_shared.wire.work import WorkId

SUBJECT = 987_654_321_077
NAME = f"subject_{SUBJECT}"


@pytest.fixture
def asked(make_study: Any, contract_office: Any, tmp_path: Path) -> Admitted:
    """A round of pre-training."""
    study = make_study(exchange={"dtype": "fp32"}, pretraining={"optimizer_state": "fresh"})
    contract = contract_office.ContractOffice(tmp_path).draft(study)
    work = WorkId(study.digest, "pretraining", 1, 1)
    return Admitted(contract, contract.digest, study, work, "a" * 64, 7, 40)


def _answers(admitted: Admitted) -> list[Payload]:
    """One that is as it should be, and many into which an identifier was put."""
    shapes = update_shapes(admitted.study, "pretraining", 1, 40)
    arrays = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    metrics = {"learning_rate": 1e-4, "grad_norm": 0.5, "seconds": 1.5}
    report = TrainReport("north", 40, 2, 3.25, arrays, metrics=metrics)
    good = report.to_payload(admitted.study.exchange)
    values, update = good.values, good.tensors["update"]
    named = encode({**arrays, NAME: np.zeros(1, np.float32)}, "fp32")
    return [
        good,
        *(
            replace(good, values={**values, **changed})
            for changed in (
                {NAME: {"a": 1}},
                {"report": {**values["report"], NAME: 1}},
                {"report": {**values["report"], "site": NAME}},
                {"report": {**values["report"], "num_steps": SUBJECT}},
                {"report": {**values["report"], "num_examples": SUBJECT}},
                {"report": {**values["report"], "loss": float(SUBJECT) * 1e9}},
                {"metrics": {**values["metrics"], "seconds": SUBJECT}},
                {"metrics": {**values["metrics"], "grad_norm": [float(SUBJECT)]}},
                {"error": {"code": NAME, "reference": NAME}},
            )
        ),
        replace(good, tensors={"update": named}),
        replace(good, tensors={"update": update + NAME.encode()}),
        replace(good, tensors={"update": update, NAME: update}),
        replace(good, tensors={"update": NAME.encode() * 3}),
        Payload(values={"error": {"code": NAME, "reference": str(SUBJECT)}}),
        Payload(values={"error": {"code": "failed", "reference": str(SUBJECT)}}),
        Payload(values={"report": {"site": NAME}}),
        Payload(values={1: {NAME: NAME}}),  # type: ignore[dict-item]
    ]


def test_no_level_of_the_log_and_no_file_names_a_subject(
    asked: Admitted, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    node = NodeFolder(tmp_path / "node")
    node.path.mkdir()
    node.site_file.write_text(
        '[site]\nname = "north"\nrecords = "records"\n[ceilings]\nmin_cell = 5\n[network]\n'
        'coordinator = "c.example:443"\nroot_certificates = "ca.crt"\nprivate_key = "k"\n'
    )
    outbox = Outbox(node)
    num_stopped = 0
    with caplog.at_level(logging.DEBUG):
        for answer in _answers(asked):
            try:
                outbox.seal(asked, answer)
            except (WireError, ContractError) as error:
                logging.getLogger("fedehr.client").debug("stopped", exc_info=error)
                num_stopped += 1
    assert num_stopped == len(_answers(asked)) - 1
    written = {
        str(file.relative_to(node.path)): file.read_bytes()
        for file in node.path.rglob("*")
        if file.is_file() and file.name != "reserve"
    }
    assert len(written) > 15
    for text in (caplog.text.encode(), *written.values(), *map(str.encode, written)):
        assert str(SUBJECT).encode() not in text
    stopped = [json.loads(text) for name, text in written.items() if name.endswith(".json")]
    assert sum(one["verdict"] == "stopped" for one in stopped) >= 10
