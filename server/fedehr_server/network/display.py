"""The progress of a run on the terminal: one line an event, on standard error."""

from typing import Any

from rich.console import Console

from fedehr_server.progress import describe_training

Event = dict[str, Any]


class ProgressDisplay:
    """Prints a run's events as they come."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def show(self, event: Event) -> None:
        """Print one line for `event`, an entry of `progress.jsonl`."""
        text = describe_event(event)
        style = "red" if event.get("event") == "site_error" else None
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
    if kind == "site_error":
        return f"{clock}  {event.get('phase')}: a site answered with an error"
    return f"{clock}  {kind}"


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
