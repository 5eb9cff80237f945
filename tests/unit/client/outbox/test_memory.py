"""Sealing a large update takes little more than its bytes, and no PyTorch."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fedehr_client.outbox.sealed_bytes import SealedBytes

_PROGRAM = """
import json, sys
from pathlib import Path

sys.modules["torch"] = None  # importing it fails from now on

from fedehr_client.contracts.admitted import Admitted
from fedehr_client.node.folder import NodeFolder
from fedehr_client.outbox.outbox import Outbox
from fedehr_client.outbox.sealed_bytes import SealedBytes
from fedehr_shared.contract.study_contract import StudyContract
from fedehr_shared.wire.work import WorkId

def kilobytes(key):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1])

folder = Path(sys.argv[1])
contract = StudyContract.from_json((folder / "contract.json").read_text())
answer = SealedBytes.read(folder / "answer", sys.argv[2]).payload
work = WorkId(contract.study.digest, "pretraining", 1, 1)
admitted = Admitted(contract, contract.digest, contract.study, work, "a" * 64, 7, int(sys.argv[3]))
node = NodeFolder(folder)
figures = []
for step in (lambda: Outbox(node).seal(admitted, answer), lambda: Outbox(node).kept(admitted)):
    Path("/proc/self/clear_refs").write_text("5")
    before = kilobytes("VmRSS")
    assert step() is not None
    figures.append(1_024 * (kilobytes("VmHWM") - before))
print(json.dumps([answer.num_bytes, *figures]))
"""


def _sealed_elsewhere(folder: Path, one: Any, num_tokens: int) -> list[int]:
    """Bytes of an answer, and what sealing it and sending it again took besides."""
    sealed = SealedBytes.of(one.answer)
    (folder / "answer").write_bytes(b"".join(sealed.parts))
    (folder / "contract.json").write_text(one.admitted.contract.to_json())
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(folder), sealed.sha256, str(num_tokens)],
        check=False, capture_output=True, text=True, timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2_000:]
    figures: list[int] = json.loads(done.stdout)
    return figures


@pytest.mark.parametrize("dtype", ["fp32", "bf16", "fp16"])
def test_no_check_needs_pytorch(dtype: str, make_made_up: Any, tmp_path: Path) -> None:
    one = make_made_up({"exchange": {"dtype": dtype}}, 40, tmp_path)
    assert _sealed_elsewhere(tmp_path, one, 40)[0] == one.answer.num_bytes


@pytest.mark.long
def test_sealing_a_hundred_megabytes(make_made_up: Any, tmp_path: Path) -> None:
    changes = {"exchange": {"dtype": "fp32"}, "model": {"layers": 6, "hidden": 256, "heads": 4}}
    one = make_made_up(changes, 96_000, tmp_path)
    num_bytes, sealing, sending = _sealed_elsewhere(tmp_path, one, 96_000)
    for what, more in (("sealing", sealing), ("sending again", sending)):
        print(f"{what} {num_bytes / 1e6:.1f} MB took {more / 1e6:.1f} MB more")
    assert num_bytes > 9e7
    assert sealing < 0.25 * num_bytes
    assert sending < 1.25 * num_bytes
