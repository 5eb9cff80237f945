"""Asks the gate of a node for one round after the other, with a content drawn for each.

    asking_process.py NODE DIGEST BUNDLE SEED MODELS

`MODELS` is a folder of the two contents, `a` and `b`, and of the vocabulary. What was admitted is
told on standard output as `<phase>/<round> <content>`, before the next.
"""

import random
import sys
from pathlib import Path
from typing import Any

from fedehr_client.contracts.gate import ContractGate
from fedehr_client.contracts.store import ContractStore
from fedehr_client.node.folder import NodeFolder
from fedehr_shared.errors import FedehrError
from fedehr_shared.vocabulary.vocabulary import Vocabulary
from fedehr_shared.wire.payload import Payload


def main() -> None:
    """Until the study's rounds are over."""
    node, digest = NodeFolder(Path(sys.argv[1])), sys.argv[2]
    known = ContractStore(node).find(digest)
    assert known is not None
    gate = ContractGate(node, bytes_since=lambda time: 0)
    draw = random.Random(int(sys.argv[4]))
    places = [
        (p, n + 1) for p in ("vocabulary", "pretraining") for n in range(known.contract.rounds[p])
    ]
    print("ready", flush=True)
    for phase, number in places:
        for _ in range(3):
            content = draw.choice("ab") if phase == "pretraining" else ""
            request = _request(known.study, digest, (phase, number), content)
            try:
                admitted = gate.admit(request, 5, sys.argv[3])
            except FedehrError:
                continue
            print(f"{phase}/{number} {content}", flush=True)
            gate.answered(admitted)


def _request(study: Any, digest: str, place: tuple[Any, int], content: str) -> Payload:
    phase, number = place
    work: Any = {
        "contract": digest,
        "work_id": f"{study.digest}/{phase}/{number}/1",
        "study": study.to_json(),
    }
    if phase == "vocabulary":
        return Payload(values={"work": work})
    models = Path(sys.argv[5])
    text = (models / "vocabulary").read_text()
    work |= {"vocabulary_digest": Vocabulary.from_json(text).digest, "vocabulary": text}
    return Payload(tensors={"model": (models / content).read_bytes()}, values={"work": work})


if __name__ == "__main__":
    main()
    if "torch" in sys.modules:
        sys.exit("the gate has loaded torch")
