"""`StepLines`: what a long command is at, as lines on standard error."""

import time

from fedehr_shared import console


class StepLines:
    """Shows each step with the seconds since the start.

    Args:
        title: what runs.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._began = time.monotonic()

    def __call__(self, step: str) -> None:
        """A step begins."""
        seconds = time.monotonic() - self._began
        line = f"{self._title} {seconds:6.1f} s  {step}"
        console.err.print(line, markup=False, soft_wrap=True)
