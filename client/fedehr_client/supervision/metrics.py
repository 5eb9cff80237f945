"""What the node tells a hospital's Prometheus, in its text format.

Numbers of the node's own work. No study, task, code or subject is named.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Sample = tuple[Mapping[str, str], float]


@dataclass(frozen=True)
class NodeNumbers:
    """What is told.

    Attributes:
        is_joined: whether the coordinator has let the node in.
        is_ready: as `/readyz`.
        is_paused: by a person.
        num_rounds: answered.
        sent_bytes: of all answers.
        num_errors: answers that were an error, by code.
        num_restarts: by process.
        child_bytes: resident memory of the processes that compute.
        last_round_seconds: None before the first round.
        last_round_time: when it was answered, seconds since 1970.
        spent_epsilon: by the ledger; infinite is possible; None where it is not known.
    """

    is_joined: bool
    is_ready: bool
    is_paused: bool
    num_rounds: int
    sent_bytes: int
    num_errors: Mapping[str, int]
    num_restarts: Mapping[str, int]
    child_bytes: int
    last_round_seconds: float | None
    last_round_time: float | None
    spent_epsilon: float | None


def metrics_text(numbers: NodeNumbers) -> str:
    """The page at `/metrics`."""
    lines = [
        *_metric("joined", "gauge", "1 while the coordinator has let the node in.",
                 [({}, float(numbers.is_joined))]),
        *_metric("ready", "gauge", "1 while the node is joined, asks for work and is not paused.",
                 [({}, float(numbers.is_ready))]),
        *_metric("paused", "gauge", "1 while a person has paused the node.",
                 [({}, float(numbers.is_paused))]),
        *_metric("rounds_answered_total", "counter", "Rounds answered.",
                 [({}, numbers.num_rounds)]),
        *_metric("sent_bytes_total", "counter", "Bytes of all answers.",
                 [({}, numbers.sent_bytes)]),
        *_metric("errors_total", "counter", "Answers that were an error, by code.",
                 [({"code": code}, count) for code, count in sorted(numbers.num_errors.items())]),
        *_metric("restarts_total", "counter", "Restarts of a process by the supervisor.",
                 [({"process": name}, count) for name, count in numbers.num_restarts.items()]),
        *_metric("child_resident_bytes", "gauge", "Memory of the processes that compute.",
                 [({}, numbers.child_bytes)]),
        *_metric("last_round_seconds", "gauge", "Time that the last round took.",
                 _maybe(numbers.last_round_seconds)),
        *_metric("last_round_timestamp_seconds", "gauge", "When the last round was answered.",
                 _maybe(numbers.last_round_time)),
        *_metric("spent_epsilon", "gauge", "Privacy spent of each subject, all studies together.",
                 _maybe(numbers.spent_epsilon)),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _metric(name: str, kind: str, text: str, samples: Iterable[Sample]) -> list[str]:
    full = f"fedehr_node_{name}"
    told = [f"{full}{_labels(labels)} {_number(value)}" for labels, value in samples]
    return [f"# HELP {full} {text}", f"# TYPE {full} {kind}", *told]


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    told = (f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return "{" + ",".join(told) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    if value == float("inf"):
        return "+Inf"
    return str(int(value)) if value == int(value) else repr(value)


def _maybe(value: float | None) -> list[Sample]:
    return [] if value is None else [({}, value)]
