"""`PhaseFigures`: time and bytes of a phase, read from a node's own audit and receipts."""

import json
import statistics
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fedehr_client.node.folder import NodeFolder
from fedehr_client.outbox.shelf import Shelf


@dataclass(frozen=True)
class PhaseFigures:
    """One phase at the site.

    Attributes:
        num_rounds: that were answered.
        first_seconds: of its first round, with what is made once.
        later_seconds: the median of the others; None where there was no other.
        answer_bytes: of its largest answer.
        total_bytes: of all its answers.
    """

    num_rounds: int
    first_seconds: float
    later_seconds: float | None
    answer_bytes: int
    total_bytes: int

    def seconds_of(self, num_rounds: int) -> float:
        """What so many rounds take at this pace, from first to last."""
        later = self.first_seconds if self.later_seconds is None else self.later_seconds
        return self.first_seconds + max(0, num_rounds - 1) * later


def figures_by_phase(node: NodeFolder) -> dict[str, PhaseFigures]:
    """By phase, in the order in which they came.

    A round lasts from the moment when its request was admitted until its answer was handed over.
    """
    seconds = _seconds_by_phase(node)
    sizes: dict[str, list[int]] = defaultdict(list)
    for receipt in Shelf(node).receipts.all():
        sizes[receipt.phase].append(receipt.num_bytes)
    return {
        phase: PhaseFigures(
            num_rounds=len(found),
            first_seconds=found[0],
            later_seconds=statistics.median(found[1:]) if found[1:] else None,
            answer_bytes=max(sizes[phase], default=0),
            total_bytes=sum(sizes[phase]),
        )
        for phase, found in seconds.items()
    }


def _seconds_by_phase(node: NodeFolder) -> dict[str, list[float]]:
    asked: dict[tuple[str, int], float] = {}
    seconds: dict[str, list[float]] = defaultdict(list)
    for line in node.audit_file.read_text(encoding="utf-8").splitlines():
        event: dict[str, Any] = json.loads(line)
        if event["event"] not in {"round_asked", "round_answered"}:
            continue
        work = (str(event["phase"]), int(event["round"]))
        moment = datetime.fromisoformat(event["time"]).timestamp()
        if event["event"] == "round_asked":
            asked.setdefault(work, moment)
        elif work in asked:
            seconds[work[0]].append(moment - asked.pop(work))
    return dict(seconds)
