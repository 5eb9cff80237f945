"""kill -9 at any time: the file is whole, and no round is ever admitted with a second content."""

import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fedehr_client.audit.log import Audit
from fedehr_client.contracts.store import ContractStore
from fedehr_shared.model.parameter_shapes import received_shapes
from fedehr_shared.vocabulary.vocabulary import Vocabulary
from fedehr_shared.wire.codec.record import encode

SCRIPT = Path(__file__).with_name("asking_process.py")
NUM_KILLS = 6
VOCABULARY = Vocabulary(tuple(f"C//{number}" for number in range(6)), (None,) * 6)


def _models(folder: Path, study: Any) -> Path:
    """Two contents of a round of pre-training, and the vocabulary of both."""
    folder.mkdir()
    (folder / "vocabulary").write_text(VOCABULARY.to_json())
    shapes = received_shapes(study, "pretraining", VOCABULARY.num_tokens)
    for name, number in (("a", 0.25), ("b", 0.5)):
        model = {name: np.full(shape, number, np.float32) for name, shape in shapes.items()}
        (folder / name).write_bytes(encode(model, "fp16"))
    return folder


def test_a_killed_gate_never_lets_a_second_content_in(
    office: Any, make_study: Callable[..., Any], contract_office: Any, tmp_path: Path
) -> None:
    node = office.node(tmp_path / "node")
    study = make_study(
        pretraining={"rounds": 40, "optimizer_state": "kept"}, finetuning={"rounds": 0}
    )
    store = ContractStore(node)
    digest = store.receive(office.sign(study)).digest
    store.approve(digest, "ada")
    models = _models(tmp_path / "models", study)
    draw = random.Random(0)
    contents: dict[str, set[str]] = defaultdict(set)
    for seed in range(NUM_KILLS):
        process = subprocess.Popen(
            [sys.executable, SCRIPT, node.path, digest, contract_office.BUNDLE, str(seed), models],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(draw.uniform(0.0, 0.4))
        process.send_signal(signal.SIGKILL)
        told, _ = process.communicate(timeout=60)
        for line in told.splitlines():
            place, _, content = line.partition(" ")
            contents[place].add(content)
        known = store.find(digest)
        assert known is not None
        assert known.state == "approved"
        assert [run.run_id for run in known.runs] in ([], [5])
        Audit(node.audit_file).verify()
    last = subprocess.run(
        [sys.executable, SCRIPT, node.path, digest, contract_office.BUNDLE, "99", models],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert last.returncode == 0, last.stderr
    for line in last.stdout.splitlines()[1:]:
        place, _, content = line.partition(" ")
        contents[place].add(content)
    assert len(contents) > 3
    assert {place: len(own) for place, own in contents.items()} == dict.fromkeys(contents, 1)
    known = store.find(digest)
    assert known is not None
    assert known.num_rounds_answered <= known.runs[0].num_asked <= 41
    assert known.runs[0].num_asked >= len(contents)
