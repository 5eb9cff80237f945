"""A running simulation on standard error: a live line on a terminal, lines elsewhere."""

import time
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.status import Status

from fedehr_server.progress import describe_training

_ENGINE_STEPS = {
    "opened": "starting the engine",
    "superlink": "engine up, submitting the study",
    "submitted": "study submitted",
    "running": "waiting for the sites",
    "stopping": "stopping the engine",
    "ended": "engine stopped",
}
_SHARED_LOOPBACK = (
    "[yellow]warning:[/] this system allows no private network, so the simulation listens on "
    "127.0.0.1: other users of this machine could reach the engine while it runs. On a shared "
    "machine allow user namespaces (`sysctl user.max_user_namespaces`, an AppArmor profile "
    "with `userns`, or Docker's `--cap-add SYS_ADMIN`)."
)


class LiveProgress:
    """Shows the events of `engine.Progress`; a context manager.

    Args:
        console: where to show them.
        title: what runs.
    """

    def __init__(self, console: Console, title: str) -> None:
        self._console = console
        self._title = title
        self._started = time.monotonic()
        self._num_bytes = 0
        self._status = Status("", console=console) if console.is_terminal else None

    def __enter__(self) -> "LiveProgress":
        if self._status:
            self._status.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if self._status:
            self._status.stop()

    def __call__(self, event: dict[str, Any]) -> None:
        """Show one event."""
        self._num_bytes += int(event.get("bytes_up") or 0) + int(event.get("bytes_down") or 0)
        if event.get("private_network") is False:
            self._console.print(_SHARED_LOOPBACK, soft_wrap=True)
        text = describe_event(event, self._num_bytes)
        if self._status is None:
            self._console.print(self._line(text), markup=False, soft_wrap=True)
            return
        self._status.update(self._line(text))
        if event.get("event") in {"round", "site_error"}:
            self._console.print(self._line(text), markup=False)

    def _line(self, text: str) -> str:
        return f"{self._title} {time.monotonic() - self._started:6.1f} s  {text}"


def describe_event(event: dict[str, Any], num_bytes: int) -> str:
    """One event in words; `num_bytes` is what has travelled so far."""
    kind = event.get("event")
    if kind == "engine":
        return _ENGINE_STEPS.get(str(event["state"]), str(event["state"]))
    parts = [str(event.get("phase") or kind)]
    # The event that opens a phase has round 0.
    if event.get("round"):
        parts.append(f"round {event['round']} of {event.get('num_rounds', '?')}")
    if event.get("num_answers") is not None:
        parts.append(f"{event['num_answers']} site(s)")
    parts += describe_training(event)
    for task, value in (event.get("auroc") or {}).items():
        parts.append(f"{task} AUROC {'withheld' if value is None else format(value, '.3f')}")
    if num_bytes:
        parts.append(f"{num_bytes / 1e6:.1f} MB")
    if kind == "site_error":
        parts.insert(0, "a site answered with an error")
    return ", ".join(parts)
