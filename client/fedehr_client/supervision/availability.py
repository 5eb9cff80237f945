"""`Availability`: whether the node works for studies at this moment."""

from collections.abc import Callable
from datetime import datetime, time
from enum import StrEnum

from fedehr_client.node.folder import NodeFolder
from fedehr_client.supervision.allowed_hours import AllowedHours
from fedehr_client.supervision.gpu_use import GpuUse
from fedehr_client.supervision.pause import PauseMarker


class Busy(StrEnum):
    """Why a node does not work, as its state calls it."""

    PAUSED = "paused"
    OUTSIDE_HOURS = "outside hours"
    GPU_TAKEN = "gpu taken"


def local_time() -> time:
    """The wall clock's time of day."""
    return datetime.now().astimezone().time()


class Availability:
    """Paused, outside its hours, or its GPU used by somebody else: then it does not work.

    Asking is cheap: once a second is fine.
    """

    def __init__(
        self,
        node: NodeFolder,
        gpu: GpuUse | None = None,
        wall_clock: Callable[[], time] = local_time,
    ) -> None:
        """Reads the site file once; the pause and the clock are read at each question.

        Raises:
            ConfigError: the site file is missing or wrong.
        """
        config = node.config()
        self._pause = PauseMarker(node.state)
        self._hours = AllowedHours.of(config.schedule.allowed_hours)
        yields = config.schedule.yield_gpu and config.compute.device != "cpu"
        self._gpu = (gpu or GpuUse()) if yields else None
        self._wall_clock = wall_clock

    def why_busy(self) -> str | None:
        """Why the node does not work now, for a person at the site; None: it works."""
        found = self.busy()
        return None if found is None else found[1]

    def busy(self) -> tuple[Busy, str] | None:
        """The kind of reason, and the reason in words; None: it works."""
        if (pause := self._pause.read()) is not None:
            why = f": {pause.reason}" if pause.reason else ""
            return Busy.PAUSED, f"paused since {pause.since}{why}"
        moment = self._wall_clock()
        if not self._hours.includes(moment):
            begin = self._hours.next_begin(moment)
            return Busy.OUTSIDE_HOURS, f"outside its hours until {begin:%H:%M}"
        taken = self._gpu.why_taken() if self._gpu else None
        return None if taken is None else (Busy.GPU_TAKEN, taken)
