"""`fedehr-client outbox list | show | release | refuse`, by the program itself."""

import json
import subprocess
import sys
from typing import Any

import pytest

from fedehr_client.outbox.outbox import Outbox
from fedehr_shared.errors import HeldError, WireError
from fedehr_shared.wire.reports import ErrorReport


def _run(*args: object) -> "subprocess.CompletedProcess[str]":
    program = [sys.executable, "-c", "from fedehr_client.cli.main import run; run()", "outbox"]
    command = [*program, *map(str, args)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)


def test_a_person_sees_what_waits_and_decides(
    small_node: Any, small_answer: Any, changed: Any
) -> None:
    node, one, two = small_node("hold = true"), small_answer(1), small_answer(2)
    outbox = Outbox(node)
    outbox.seal_error(ErrorReport("busy", "0123456789abcdef").to_payload(), one.admitted)
    with pytest.raises(WireError):
        outbox.seal(one.admitted, changed(one.answer, "report.note", "x"))
    with pytest.raises(HeldError):
        outbox.seal(one.admitted, one.answer)
    told = json.loads(_run("list", node.path, "--json").stdout)
    assert [answer["verdict"] for answer in told["answers"]] == ["stopped", "held"]
    assert told["errors"] == {"busy": 1}
    assert told["answers"][1]["norm"] > 0
    name = told["answers"][1]["id"]
    listed = _run("list", node.path, "--held").stdout
    assert name[-8:] in listed
    assert f"pretraining/{told['answers'][1]['round']}" in listed  # uncut at 80 columns
    assert max(map(len, listed.splitlines()[:2])) <= 80
    assert "1 busy" in listed

    shown = json.loads(_run("show", node.path, name[-8:], "--json").stdout)
    assert shown["values"] == one.answer.values
    assert set(shown["tensors"]["update"]["shapes"]) > {"encoder.norm.weight"}
    words = _run("show", node.path, name[-8:-4]).stdout  # the beginning of what the list shows
    for part in ("held", shown["sha256"], "loss = 3.25", "num_examples = 40", "L2 norm"):
        assert part in words

    assert _run("release", node.path, name[-8:]).returncode == 0
    assert _run("release", node.path, name[-8:]).returncode == 2  # it waits no more
    assert outbox.kept(one.admitted) == one.answer
    with pytest.raises(HeldError):
        outbox.seal(two.admitted, two.answer)
    (held,) = json.loads(_run("list", node.path, "--held", "--json").stdout)["answers"]
    assert _run("refuse", node.path, held["id"]).returncode == 0
    assert _run("show", node.path, "nothing").returncode == 2
