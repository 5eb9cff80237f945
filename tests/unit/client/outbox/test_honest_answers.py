"""Honest answers pass, whatever the study; what is told of them is what they hold."""

import hashlib
import json
import math
import stat
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fedehr_client.outbox.outbox import Outbox
from fedehr_shared.wire.codec.record import decode

KINDS = (
    "averaged moments",
    "lora int8",
    "noisy vocabulary",
    *(pytest.param(kind, marks=pytest.mark.long) for kind in ("withheld", "private", "multitask")),
)


@pytest.mark.parametrize("kind", KINDS)
def test_every_answer_of_a_study_passes(
    kind: str, honest: Any, node_of: Any, outbox_of: Callable[..., Outbox]
) -> None:
    study = honest(kind)
    outbox, node = outbox_of(study), node_of(study)
    phases = {one.admitted.work_id.phase for one in study.answers}
    assert {"vocabulary", "finetuning", "evaluation"} <= phases
    for one in study.answers:
        assert outbox.kept(one.admitted) is None
        sealed = outbox.seal(one.admitted, one.answer)
        assert sealed.values == one.answer.values
        assert sealed.tensors == one.answer.tensors
        assert outbox.kept(one.admitted) == sealed
    receipts = [json.loads(file.read_text()) for file in _receipts(node)]
    assert [one["verdict"] for one in receipts] == ["passed"] * len(study.answers)
    for one, told in zip(study.answers, receipts, strict=True):
        assert told["values"] == one.answer.values
        assert (told["phase"], told["round"]) == (one.admitted.work_id.phase,
                                                  one.admitted.work_id.round)  # fmt: skip
        for name, record in one.answer.tensors.items():
            arrays = decode(record)
            norm = math.sqrt(sum(float((a.astype(np.float64) ** 2).sum()) for a in arrays.values()))
            assert told["tensors"][name]["norm"] == pytest.approx(norm, rel=1e-9)
            assert told["tensors"][name]["sha256"] == hashlib.sha256(record).hexdigest()
            assert {k: tuple(v) for k, v in told["tensors"][name]["shapes"].items()} == {
                key: value.shape for key, value in arrays.items()
            }


def _receipts(node: Any) -> list[Any]:
    files = sorted((node.outbox / "receipts").iterdir())
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files)
    return files
