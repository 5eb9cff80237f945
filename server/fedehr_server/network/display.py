"""The progress of a run on the terminal: one line an event, on standard error."""

from collections.abc import Callable
from typing import Any

from rich.console import Console

from fedehr_server.progress import describe_training

Event = dict[str, Any]

_STYLES = {"site_error": "red", "not_in_contract": "red", "site_waits": "yellow"}
_WAITS = {
    "not_approved": "nobody there has approved the study yet (fedehr-client approve)",
    "held": "its answer waits for a person to release it (fedehr-client outbox)",
    "busy": "it does not work now (paused, its hours, its GPU or its bytes)",
    "storage": "its disk is full: somebody there has to make room",
}
_DECISIONS = {
    "waiting": "waits for a person: fedehr-client show, then approve or refuse",
    "approved": "approved",
    "refused": "refused",
    "offline": "its node is not connected",
    "no answer": "its node did not answer in time",
}


class ProgressDisplay:
    """Prints a run's events as they come."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def show(self, event: Event) -> None:
        """Print one line for `event`, an entry of `progress.jsonl`."""
        text = describe_event(event)
        style = _STYLES.get(str(event.get("event")))
        self._console.print(text, style=style, markup=False, soft_wrap=True)


def describe_event(event: Event) -> str:
    """One line about an entry of `progress.jsonl`."""
    kind = event.get("event")
    clock = f"{float(event.get('time_seconds') or 0.0):7.1f} s"
    num_answers = event.get("num_answers")
    if kind == "joined":
        return f"{clock}  {num_answers} site(s) joined"
    if kind == "round":
        return f"{clock}  {_describe_round(event)}"
    if kind == "phase":
        return f"{clock}  {event.get('phase')}: {event.get('num_rounds')} round(s)"
    if kind in _OF_SITES:
        return f"{clock}  {_OF_SITES[kind](event)}"
    return f"{clock}  {kind}"


def _describe_error(event: Event) -> str:
    reason = f": {event['reason']}" if event.get("reason") else ""
    reference = f" (reference {event['reference']})" if event.get("reference") else ""
    site, code = event.get("site"), event.get("code")
    return f"{event.get('phase')}: {site} answered with an error, {code}{reference}{reason}"


def _describe_wait(event: Event) -> str:
    why = _WAITS.get(str(event.get("code")), str(event.get("code")))
    return f"{event.get('phase')}: waiting for {event.get('site')}: {why}"


def _describe_state(event: Event) -> str:
    return f"{event.get('site')}: {describe_decision(str(event.get('state')))}"


def describe_decision(state: str) -> str:
    """What a site has decided about a contract, by the state that a proposal's result gives it."""
    return _DECISIONS.get(state, f"answered with an error, {state}")


_OF_SITES: dict[object, Callable[[Event], str]] = {
    "site_error": _describe_error,
    "site_waits": _describe_wait,
    "not_in_contract": lambda event: f"{event.get('site')} is not in the contract: not asked",
    "asked": lambda event: f"{event.get('site')}: asked",
    "proposal": _describe_state,
    "ended_at_sites": lambda event: f"told of the end: {', '.join(event.get('sites') or ['none'])}",
}


def _describe_round(event: Event) -> str:
    parts = [
        f"{event.get('phase')} round {event.get('round')}/{event.get('num_rounds')}",
        f"{event.get('num_answers')} answer(s)",
    ]
    parts += describe_training(event)
    for task, value in (event.get("auroc") or {}).items():
        parts.append(f"{task} AUROC {'withheld' if value is None else format(value, '.3f')}")
    parts.append(f"up {format_bytes(event.get('bytes_up') or 0)}")
    parts.append(f"down {format_bytes(event.get('bytes_down') or 0)}")
    parts.append(f"{float(event.get('seconds') or 0.0):.1f} s")
    return ", ".join(parts)


def format_bytes(num_bytes: int) -> str:
    """A number of bytes for people, in powers of 1000."""
    size = float(num_bytes)
    for unit in ("B", "kB", "MB"):
        if size < 1_000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1_000
    return f"{size:.1f} GB"
