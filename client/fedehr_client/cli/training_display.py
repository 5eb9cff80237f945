"""A training run on standard error: a live line on a terminal, a line now and then elsewhere."""

import time
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from fedehr_client.training.step_numbers import StepNumbers

_SECONDS_A_LINE = 5.0


class TrainingDisplay:
    """Shows what a running training tells; a context manager.

    Args:
        console: where to show it.
        minutes: how long the training lasts by the clock; None: by its steps.
    """

    def __init__(self, console: Console, minutes: float | None) -> None:
        self._console = console
        self._minutes = minutes
        self._num_tokens = 0
        self._latest = time.monotonic()
        self._bar: Progress | None = None
        if console.is_terminal:
            columns = (BarColumn(20), TextColumn("{task.description}"), TimeElapsedColumn())
            self._bar = Progress(*columns, console=console, transient=True)
            self._task = self._bar.add_task("starting", total=None)

    def __enter__(self) -> "TrainingDisplay":
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if self._bar:
            self._bar.stop()

    def step(self, numbers: "StepNumbers") -> None:
        """Show a step of training."""
        self._num_tokens += numbers.num_tokens
        rate = self._num_tokens / max(numbers.seconds, 1e-9)
        if self._minutes is None:
            done, of = numbers.num_done / numbers.num_steps, f" of {numbers.num_steps:,}"
        else:
            done, of = numbers.seconds / (self._minutes * 60), ""
        self._show(
            f"step {numbers.num_done:,}{of}  loss {numbers.loss:.3f}  "
            f"gradient {numbers.gradient_norm:.2f}  rate {numbers.learning_rate:.1e}  "
            f"{rate:,.0f} events/s",
            done,
        )

    def overfit(self, num_steps: int, loss: float) -> None:
        """Show how far a few subjects are learned by heart."""
        self._show(f"step {num_steps:,}  loss {loss:.3f}", None)

    def _show(self, text: str, done: float | None) -> None:
        if self._bar:
            total = None if done is None else 1.0
            self._bar.update(self._task, description=text, completed=done, total=total)
        elif time.monotonic() - self._latest >= _SECONDS_A_LINE:
            self._latest = time.monotonic()
            self._console.print(text, markup=False, soft_wrap=True)
