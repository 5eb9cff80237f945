"""`AllowedHours`: the local times of day at which a node may work."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import time


@dataclass(frozen=True)
class Span:
    """From `begin`, with it, to `end`, without it; past midnight where `end` is the earlier."""

    begin: time
    end: time

    def includes(self, moment: time) -> bool:
        """Whether a time of day lies in it."""
        if self.begin < self.end:
            return self.begin <= moment < self.end
        return moment >= self.begin or moment < self.end


@dataclass(frozen=True)
class AllowedHours:
    """Spans of the wall clock; none: always.

    The wall clock is what a person at the site reads, so a change to or from summer time needs
    no rule: an hour that comes twice counts twice, one that is left out not at all.
    """

    spans: tuple[Span, ...]

    @classmethod
    def of(cls, texts: Sequence[str]) -> "AllowedHours":
        """From a site file's spans, as `22:00-06:00`."""
        return cls(tuple(_span(text) for text in texts))

    def includes(self, moment: time) -> bool:
        """Whether the node may work at a local time of day."""
        return not self.spans or any(span.includes(moment) for span in self.spans)

    def next_begin(self, moment: time) -> time | None:
        """When the next span begins, a local time of day; None where it always may work."""
        begins = sorted(span.begin for span in self.spans)
        return next((begin for begin in begins if begin > moment), next(iter(begins), None))


def _span(text: str) -> Span:
    begin, _, end = text.partition("-")
    return Span(time.fromisoformat(begin), time.fromisoformat(end))
